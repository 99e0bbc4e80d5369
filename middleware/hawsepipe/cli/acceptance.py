"""Whether the record would take what a message becomes: the check of R4 that a store runs, without a store.

A service acknowledges a message before it is translated, so what breaks R4 there is set aside after the sender was
told that all is well. `translate` says it before.
"""

from __future__ import annotations

from dataclasses import replace

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.merge import merged
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Change, Issue, Method, Resource, Severity, Translation
from hawsepipe.store.elements import REFUSED

_TOLD: Resource = {
    "resourceType": "Provenance",
    "target": [{"reference": "Patient/1"}],
    "recorded": "0001-01-01T00:00:00.000000Z",
    "agent": [{"who": {"display": "-"}}],
}
"""What the record adds to the sender's words, with values that are right."""


class Acceptance:
    """Checks translations as a store does that holds nothing yet. For one thread at a time."""

    def __init__(self) -> None:
        self._validator = Validator(definitions.load())

    def checked(self, translation: Translation) -> Translation:
        """Return the translation with an issue at error level, cause mapping, for each finding that keeps it out.

        `Issue.location` is a FHIRPath (`Patient.birthDate`); the text says what is wrong and never what was there.
        """
        found = [issue for change in translation.changes for issue in self._change(change)]
        if translation.provenance is not None:
            found += self._broken(_TOLD | translation.provenance)
        if not found:
            return translation
        told = tuple(
            Issue(Severity.ERROR, "mapping", issue.location, f"the result breaks R4: {issue.text}") for issue in found
        )
        return replace(translation, issues=(*told, *translation.issues))

    def _change(self, change: Change) -> list[Issue]:
        resource = change.resource
        if resource is None or change.method is Method.DELETE:
            return []
        # A resource that is right stays so when its lists are joined to nothing; only what is removed could be missed.
        if not change.remove and resource.get("resourceType") == change.type and not self._validator.check(resource):
            return []
        return self._broken(merged(None, change))

    def _broken(self, content: Resource) -> list[Issue]:
        """Return what keeps a resource out, seen as a store sees it: read back from its bytes."""
        try:
            content = codec.decode(codec.encode(content))
        except InvalidRequest:
            place = str(content.get("resourceType", "Resource"))
            return [Issue(Severity.ERROR, "structure", place, "has content that JSON cannot hold")]
        return [issue for issue in self._validator.check(content) if issue.severity in REFUSED]
