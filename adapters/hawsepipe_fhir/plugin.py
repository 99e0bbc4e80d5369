"""What the entry point `fhir` offers: the feed kinds `fhir-http` and `fhir-poll`, the translator kind `fhir`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Feed, Kind, Translator, hookimpl
from hawsepipe_fhir import polling, translator, web


@hookimpl
def register_feeds() -> Sequence[Kind[Feed]]:
    """Return the feed kinds."""
    return (web.KIND, polling.KIND)


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `fhir`."""
    return (translator.KIND,)
