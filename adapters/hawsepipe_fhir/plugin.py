"""What the entry point `fhir` offers: the feed kind `fhir-http`, the translator kind `fhir`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_fhir import translator, web


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the feed kinds."""
    return (web.KIND,)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `fhir`."""
    return (translator.KIND,)
