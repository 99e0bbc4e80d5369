"""What the entry point `dicom` offers: the feed kind `dicom-changes`, the translator kind `dicom`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_dicom import feed, translator


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the feed kind `dicom-changes`."""
    return (feed.KIND,)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the translator kind `dicom`."""
    return (translator.KIND,)
