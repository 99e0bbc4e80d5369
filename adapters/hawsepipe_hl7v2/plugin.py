"""What the entry point `hl7v2` offers: the feed kind `mllp` and the translator kind `hl7v2`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_hl7v2 import mllp, translator


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the kind `mllp`."""
    return (mllp.KIND,)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `hl7v2`."""
    return (translator.KIND,)
