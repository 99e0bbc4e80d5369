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

_RECURRING = frozenset({"Device", "HealthcareService", "Location", "Organization", "Practitioner", "PractitionerRole"})
"""What message after message mentions, each time the same."""

_KEPT = 4096
"""Resources that are remembered as right."""


class Acceptance:
    """Checks translations as a store does that holds nothing yet. For one thread at a time."""

    def __init__(self) -> None:
        self._validator = Validator(definitions.load())
        self._right: dict[bytes, None] = {}

    def checked(self, translation: Translation) -> Translation:
        """Return the translation with an issue at error level, cause mapping, for each finding that keeps it out.

        `Issue.location` is a FHIRPath (`Patient.birthDate`); the text says what is wrong and never what was there.
        """
        found = [issue for change in translation.changes for issue in self._change(change)]
        if translation.provenance is not None:
            words = _TOLD | translation.provenance
            found += self._broken(words) if self._validator.check(words) else []
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
        # Onto nothing a change removes nothing, and a resource that is right stays so when its lists join none.
        if resource.get("resourceType") == change.type and self._is_right(resource):
            return []
        return self._broken(merged(None, change))

    def _is_right(self, resource: Resource) -> bool:
        if resource["resourceType"] not in _RECURRING:
            return not self._validator.check(resource)
        try:
            written = codec.encode(resource)
        except InvalidRequest:
            return False
        if written in self._right:
            return True
        if self._validator.check(resource):
            return False
        self._right[written] = None
        if len(self._right) > _KEPT:
            del self._right[next(iter(self._right))]
        return True

    def _broken(self, content: Resource) -> list[Issue]:
        """Return what keeps a resource out, seen as a store sees it: read back from its bytes."""
        try:
            content = codec.decode(codec.encode(content))
        except InvalidRequest:
            place = str(content.get("resourceType", "Resource"))
            return [Issue(Severity.ERROR, "structure", place, "has content that JSON cannot hold")]
        return [issue for issue in self._validator.check(content) if issue.severity in REFUSED]
