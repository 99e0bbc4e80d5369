"""What a client's resource may refer to: what is here and the client sees, so that hidden and absent are refused alike.

Who writes about a patient whom she does not see would read back whether that patient is hidden or not there: the one
would swallow what she wrote, the other not. References that were there before, foreign ones, those to contained
resources and those by identifier alone are not asked about. What a scope or role does not reach cannot be seen at all,
and is not asked about either, but for patients: of them the consents alone are asked as soon as the client may read
back what it writes. Officers write about everybody, and consents name whomever they will.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hawsepipe.consent.admission import Admission, Asked, House
from hawsepipe.consent.decide import GUARDED
from hawsepipe.consent.terms import terms
from hawsepipe.errors import InvalidResource
from hawsepipe.fhir.query import Clause, Kind, Query, TokenValue
from hawsepipe.fhir.references import parse, patients_of, walk
from hawsepipe.model import Issue, Resource, Severity

_SIGHT: Final = "user/Patient.r"


class Targets:
    """Checks references of one principal's writes. `made` are resources that are written together (`Type/id`)."""

    def __init__(self, house: House, admission: Admission) -> None:
        self._house = house
        self._admission = admission
        self.made: frozenset[str] = frozenset()

    async def check(self, asked: Asked, resource: Resource, before: Resource | None = None) -> None:
        """Raise InvalidResource for a reference to something that the principal does not see.

        `before` is the resource as it was: what it referred to it may still refer to.
        """
        settings = self._house.settings
        self._check_contained(resource)
        if settings.references != "visible" or settings.officer(self._admission.principal.roles):
            return
        if resource.get("resourceType") in GUARDED:  # hers or the officer's, and read back by them whatever it says
            return
        known = self.made | frozenset(name for _, name in self._named(before or {}))
        named: dict[str, str] = {}
        for path, name in self._named(resource):
            if name not in known:
                named.setdefault(name, path)
        readable = self._admission.covers("read", str(resource.get("resourceType")))
        for kind in sorted({name.partition("/")[0] for name in named}):
            if self._admission.covers("read", kind) or (kind == "Patient" and readable):
                await self._check_type(
                    asked, kind, {name: named[name] for name in named if name.startswith(f"{kind}/")}
                )

    def _check_contained(self, resource: Resource) -> None:
        """Raise InvalidResource for a record of a patient inside of what is about nobody and so shown to everybody."""
        kind, contained = str(resource.get("resourceType")), resource.get("contained")
        if kind not in terms().patientless or not isinstance(contained, list):
            return
        base = self._house.settings.base_url
        issues = [
            Issue(
                Severity.ERROR, "business-rule", f"{kind}.contained[{place}]", f"a {kind} cannot hold a patient's data"
            )
            for place, inner in enumerate(contained)
            if isinstance(inner, dict)
            and inner.get("resourceType") not in terms().patientless
            and (inner.get("resourceType") == "Patient" or not patients_of(inner, base))
        ]
        if issues:
            raise InvalidResource(tuple(issues))

    async def _check_type(self, asked: Asked, kind: str, named: dict[str, str]) -> None:
        principal = self._admission.principal
        if not self._admission.covers("read", kind):
            principal = replace(principal, scopes=principal.scopes | {_SIGHT})
        ids = [name.partition("/")[2] for name in named]
        clause = Clause("_id", Kind.TOKEN, None, tuple(TokenValue(None, identity) for identity in ids))
        visibility = await self._house.judge.visibility(principal, "read", asked.now)
        page = await self._house.store.search(Query(kind, (clause,), count=len(ids)), visibility)
        seen = {version.reference for version in page.versions}
        issues = [
            Issue(Severity.ERROR, "not-found", path, "what is referred to is not here")
            for name, path in named.items()
            if name not in seen
        ]
        if issues:
            raise InvalidResource(tuple(issues))

    def _named(self, resource: Resource) -> Iterator[tuple[str, str]]:
        for path, literal in walk(resource):
            target = parse(literal, self._house.settings.base_url)
            if target.type is not None and target.id is not None:
                yield path, f"{target.type}/{target.id}"
