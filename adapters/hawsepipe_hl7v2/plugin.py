"""What the entry point `hl7v2` offers: the feed kinds `mllp`, `hl7v2-http`, `hl7v2-files`; the translator `hl7v2`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Destination, Feed, Kind, Translator, hookimpl
from hawsepipe_hl7v2 import folder, mllp, outbound, senders, web


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the kinds `mllp`, `hl7v2-http` and `hl7v2-files`."""
    return (mllp.KIND, web.KIND, folder.KIND)


@hookimpl
def register_destinations() -> Sequence[Kind[Destination]]:
    """Return the kind `mllp-sender`."""
    return (outbound.KIND,)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `hl7v2`."""
    return (senders.KIND,)
