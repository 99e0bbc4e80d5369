"""Whether a principal may ask for an interaction at all, and the record of what was asked and answered.

What is decided here depends on the token, the settings and the request, and on content that the principal sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NoReturn, Protocol

from hawsepipe.clock import Clock
from hawsepipe.consent.judge import Judge
from hawsepipe.consent.policy import SERVER_MADE, PolicySettings
from hawsepipe.consent.scopes import Reach, reach
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import Forbidden
from hawsepipe.fhir import references
from hawsepipe.meters import Meters
from hawsepipe.model import Access, Decision, Principal, Resource, Version
from hawsepipe.store.contract import ACTORS, Store

PERMIT = Decision(True, ("scope",))
"""The decision about what needs scope and role alone."""


class House(Protocol):
    """What views of one store share (a `view.Gate`)."""

    store: Store
    clock: Clock
    settings: PolicySettings
    meters: Meters
    identity: Callable[[], str]
    judge: Judge
    taking: Taking | None


@dataclass(frozen=True, slots=True)
class Asked:
    """One interaction under way: when, which, and what of (`Type`, `Type/id`, `Type/id/_history/n`)."""

    now: datetime
    interaction: str
    target: str


class Admission:
    """Admits the interactions of one principal and records them."""

    def __init__(self, house: House, principal: Principal) -> None:
        self._house = house
        self._noted: list[Access] = []
        self.principal = principal

    async def admitted(self, interaction: str, kind: str | None, target: str, *, writes: bool = False) -> Asked:
        """Check tenant, scope and role, and for a write whether the type is a client's to write. Raises Forbidden.

        `kind` None is every type: what the scopes leave is for the visibility to say.
        """
        asked = Asked(self._house.clock(), interaction, target)
        refused = self._refusal(interaction, kind, writes)
        if refused is not None:
            await self.refuse(asked, kind or "server", refused)
        return asked

    def covers(self, interaction: str, kind: str, *, writes: bool = False) -> bool:
        """Say whether tenant, scope and role let the principal ask for an interaction with a type."""
        return self._refusal(interaction, kind, writes) is None

    async def check_content(self, asked: Asked, kind: str, content: Resource) -> None:
        """Refuse content that is not the principal's to write, or to delete. Raises Forbidden."""
        refused = self._content_refusal(asked.interaction, kind, content)
        if refused is not None:
            await self.refuse(asked, kind, refused)

    async def refuse(self, asked: Asked, kind: str, refused: str, versions: tuple[Version, ...] = ()) -> NoReturn:
        """Record a refusal and raise Forbidden."""
        await self.record(asked, Decision(False, (refused,)), versions)
        raise Forbidden(f"the token does not cover {asked.interaction} of this {kind} ({refused})")

    async def record(self, asked: Asked, decision: Decision, versions: Sequence[Version], query: str = "") -> None:
        """Record one access, after what was noted. Raises StoreError: then nothing may leave."""
        self.note(asked, decision, versions, query)
        await self.record_noted()

    async def record_noted(self) -> None:
        """Record what was noted. Raises StoreError: then nothing may leave."""
        noted, self._noted = self._noted, []
        if noted:
            await self._house.store.record(noted)
        for access in noted:
            self._house.meters.decisions.labels("permit" if access.permit else "deny").inc()

    def note(self, asked: Asked, decision: Decision, versions: Sequence[Version], query: str = "") -> None:
        """Note one access, to be recorded together with others."""
        principal = self.principal
        access = Access(
            instant=asked.now,
            subject=principal.subject,
            client=principal.client,
            purpose=principal.purpose,
            interaction=asked.interaction,
            target=asked.target,
            patients=tuple(dict.fromkeys(patient for version in versions for patient in version.patients)),
            permit=decision.permit,
            reasons=decision.reasons,
            consents=decision.consents,
            query=query,
        )
        self._noted.append(access)

    def _refusal(self, interaction: str, kind: str | None, writes: bool) -> str | None:
        principal, settings = self.principal, self._house.settings
        within = reach(principal.scopes, principal.patient, interaction)
        allowed = settings.types(principal.roles)
        if principal.tenant != settings.tenant:
            return "tenant"
        if kind is None:
            return "scope" if within.empty else None
        if not within.touches(kind):
            return "scope"
        if allowed is not None and kind not in allowed:
            return "role"
        if writes and kind in SERVER_MADE:
            return "server-only"
        if writes and kind in ACTORS and not settings.officer(principal.roles):
            return "directory"  # who is in a team or in a role decides who sees what
        return None

    def _content_refusal(self, interaction: str, kind: str, content: Resource) -> str | None:
        principal = self.principal
        officer = self._house.settings.officer(principal.roles)
        within: Reach = reach(principal.scopes, principal.patient, interaction)
        patients = references.patients_of(content, self._house.settings.base_url)
        if not within.everywhere(kind) and set(patients) != {principal.patient}:
            return "launch"
        if kind == "Patient" and interaction in {"create", "delete"} and "link" in content and not officer:
            return "link"
        if kind == "Consent" and not officer:
            patient = content.get("patient")
            literal = patient.get("reference") if isinstance(patient, dict) else None
            own = isinstance(literal, str) and literal == principal.subject and literal.startswith("Patient/")
            return None if own and set(patients) == {principal.subject.removeprefix("Patient/")} else "consent"
        return None
