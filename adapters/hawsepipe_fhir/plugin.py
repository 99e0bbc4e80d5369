"""What the entry point `fhir` offers: the translator kind `fhir`."""

from __future__ import annotations

from collections.abc import Sequence

from hawsepipe import Kind, Translator, hookimpl
from hawsepipe_fhir import translator


@hookimpl
def register_translators() -> Sequence[Kind[Translator]]:
    """Return the kind `fhir`."""
    return (translator.KIND,)
