"""What the entry point `iomt` offers: the feed kind `mqtt`, the translator kind `devices`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_iomt import feed, translator


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the feed kind `mqtt`."""
    return (feed.KIND,)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the translator kind `devices`."""
    return (translator.KIND,)
