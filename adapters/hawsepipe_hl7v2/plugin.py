"""What the entry point `hl7v2` offers: the feed kinds `mllp` and `hl7v2-http`, and the translator kind `hl7v2`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_hl7v2 import mllp, senders, web


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the kinds `mllp` and `hl7v2-http`."""
    return (mllp.KIND, web.KIND)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `hl7v2`."""
    return (senders.KIND,)
