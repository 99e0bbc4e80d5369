"""The store as one principal may see it, and the only way to it for clients.

Every answer is a function of what the principal may see and of the request: hidden and absent take the same path to
the same text. Every access is recorded before anything of it leaves; when it cannot be recorded, nothing leaves
(StoreError).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NoReturn
from uuid import uuid4

from hawsepipe.clock import Clock
from hawsepipe.consent.judge import Judge, Sitting
from hawsepipe.consent.labels import Labels, check_meta
from hawsepipe.consent.policy import SERVER_MADE, PolicySettings
from hawsepipe.consent.scopes import Reach, reach
from hawsepipe.consent.stored import decoded
from hawsepipe.consent.terms import SIGHT
from hawsepipe.errors import (
    Conflict,
    Forbidden,
    Gone,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    StoreError,
)
from hawsepipe.fhir import provenance, references
from hawsepipe.fhir.query import Cursor, Page, Query
from hawsepipe.hooks import ConsentRule
from hawsepipe.meters import Meters
from hawsepipe.model import Access, Change, Decision, Method, Principal, Resource, Transaction, Version
from hawsepipe.store.contract import ACTORS, Store
from hawsepipe.visibility import visible

_BATCH: Final = 100
_ATTEMPTS: Final = 5
_PERMIT: Final = Decision(True, ("scope",))


def new_id() -> str:
    """Return a random resource id."""
    return str(uuid4())


class Gate:
    """Opens views on one store.

    `labels` must be the labeller that the store was opened with; `identity` gives ids of new resources; `rules` narrow
    what is visible.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: PolicySettings,
        meters: Meters,
        *,
        labels: Labels | None = None,
        identity: Callable[[], str] = new_id,
        rules: Sequence[ConsentRule] = (),
    ) -> None:
        self.store = store
        self.clock = clock
        self.settings = settings
        self.meters = meters
        self.identity = identity
        self.judge = Judge(store, settings, labels if labels is not None else Labels(base_url=settings.base_url), rules)

    def view(self, principal: Principal) -> View:
        """Return the store as this principal may see it."""
        return View(self, principal)


@dataclass(frozen=True, slots=True)
class _Asked:
    """One interaction under way: when, which, and what of (`Type`, `Type/id`, `Type/id/_history/n`)."""

    now: datetime
    interaction: str
    target: str


class View:
    """The store as `principal` may see it now; each call decides anew."""

    def __init__(self, gate: Gate, principal: Principal) -> None:
        self._gate = gate
        self.principal = principal

    async def read(self, type: str, id: str) -> Version:
        """Read (https://hl7.org/fhir/R4/http.html#read).

        Raises NotFound (absent or hidden), Gone (deleted, and it was visible), Forbidden (scope, role).
        """
        asked = await self._admitted("read", type, f"{type}/{id}")
        return await self._shown(asked, await self._gate.store.read(type, id))

    async def vread(self, type: str, id: str, version: int) -> Version:
        """Vread (https://hl7.org/fhir/R4/http.html#vread): that version and the current one must be visible.

        What was corrected (a label added, another patient named) is not to be had by asking for the version before.
        Raises as `read`.
        """
        asked = await self._admitted("vread", type, f"{type}/{id}/_history/{version}")
        store = self._gate.store
        return await self._shown(asked, await store.vread(type, id, version), await store.read(type, id))

    async def history(self, type: str, id: str, before: int | None, count: int) -> Page:
        """Instance history (https://hl7.org/fhir/R4/http.html#history): the visible versions below `before`, newest
        first, if the current one is.

        The next page's `before` is the key of the cursor. `total` is known when the first page is the only one.
        Raises NotFound (the current version is not visible) and Forbidden.
        """
        asked = await self._admitted("history-instance", type, f"{type}/{id}")
        sitting = await self._gate.judge.sit(self.principal, asked.interaction, asked.now)
        decision = await sitting.decide(await self._gate.store.read(type, id))
        found = await self._visible_versions(sitting, type, id, before, count + 1) if decision.permit else []
        shown = found[:count]
        more = len(found) > count
        await self._record(asked, decision, shown)
        if not decision.permit:
            raise NotFound(f"there is no {asked.target}")
        return Page(
            versions=tuple(shown),
            next=Cursor((), shown[-1].version) if more and shown else None,
            total=len(shown) if before is None and not more else None,
        )

    async def search(self, query: Query) -> Page:
        """Search (https://hl7.org/fhir/R4/http.html#search) over what is visible, as if nothing else were there.

        Raises Forbidden.
        """
        asked = await self._admitted("search-type", query.type, query.type)
        judge = self._gate.judge
        visibility = await judge.visibility(self.principal, asked.interaction, asked.now)
        page = await self._gate.store.search(query, visibility)
        if self._gate.settings.recheck:
            for version in page.versions:
                content = None if version.content is None else decoded(version.content)
                if content is None or not visible(visibility, await judge.subject(version, content)):
                    raise StoreError("the store answered a search with something that its visibility does not cover")
        names = "&".join(clause.parameter for clause in query.clauses)
        await self._record(asked, _PERMIT, page.versions, f"{query.type}?{names}" if names else "")
        return page

    async def create(self, resource: Resource) -> Version:
        """Create (https://hl7.org/fhir/R4/http.html#create) under an id of ours;

        the client's is ignored. Raises Forbidden and InvalidResource.
        """
        kind = _type(resource)
        admitted = await self._admitted("create", kind, kind, resource)
        check_meta(resource)
        identity = self._gate.identity()
        asked = replace(admitted, target=f"{kind}/{identity}")
        await self._record(asked, _PERMIT, ())
        content = {**resource, "id": identity}
        return await self._committed(asked, Change(Method.CREATE, kind, identity, content, if_match=0), "CREATE")

    async def update(self, resource: Resource, if_match: int | None) -> Version:
        """Update (https://hl7.org/fhir/R4/http.html#update) of what is visible; it never creates.

        Raises MethodNotAllowed (absent, deleted, hidden, or not the principal's to change), PreconditionFailed (the
        current version is not `if_match`), Conflict (others kept changing it), InvalidResource, and Forbidden: also for
        one that would move the resource to another patient or join two, which is the privacy officer's.
        """
        kind, identity = _type(resource), resource.get("id")
        if not isinstance(identity, str):
            raise InvalidRequest("the resource has no id", expression=f"{kind}.id")
        asked = await self._admitted("update", kind, f"{kind}/{identity}", resource)
        check_meta(resource)
        for _ in range(_ATTEMPTS):
            current = await self._changeable(asked, kind, identity)
            if if_match is not None and if_match != current.version:
                raise PreconditionFailed("the current version is not the one of If-Match")
            await self._same_person(asked, current, resource)
            try:
                # On the version that was decided about, so that nothing slips in between.
                change = Change(Method.PUT, kind, identity, resource, if_match=current.version)
                return await self._committed(asked, change, "UPDATE")
            except PreconditionFailed:
                if if_match is not None:
                    raise
        raise Conflict("others keep changing the resource")

    async def _admitted(self, interaction: str, kind: str, target: str, content: Resource | None = None) -> _Asked:
        """Check what depends on the token and the request alone: tenant, scope, role, and for writes the content."""
        asked = _Asked(self._gate.clock(), interaction, target)
        refused = self._refusal(interaction, kind, content)
        if refused is not None:
            await self._refuse(asked, kind, refused)
        return asked

    async def _refuse(self, asked: _Asked, kind: str, refused: str, versions: tuple[Version, ...] = ()) -> NoReturn:
        await self._record(asked, Decision(False, (refused,)), versions)
        raise Forbidden(f"the token does not cover {asked.interaction} of this {kind} ({refused})")

    def _refusal(self, interaction: str, kind: str, content: Resource | None) -> str | None:
        principal, settings = self.principal, self._gate.settings
        within = reach(principal.scopes, principal.patient, interaction)
        allowed = settings.types(principal.roles)
        if principal.tenant != settings.tenant:
            return "tenant"
        if not within.touches(kind):
            return "scope"
        if allowed is not None and kind not in allowed:
            return "role"
        if content is None:
            return None
        if kind in SERVER_MADE:
            return "server-only"
        if kind in ACTORS and not settings.officer(principal.roles):
            return "directory"  # who is in a team or in a role decides who sees what
        return self._content_refusal(interaction, kind, content, within)

    def _content_refusal(self, interaction: str, kind: str, content: Resource, within: Reach) -> str | None:
        principal = self.principal
        officer = self._gate.settings.officer(principal.roles)
        patients = references.patients_of(content, self._gate.settings.base_url)
        if not within.everywhere(kind) and set(patients) != {principal.patient}:
            return "launch"
        if kind == "Patient" and interaction == "create" and "link" in content and not officer:
            return "link"
        if kind == "Consent" and not officer:
            patient = content.get("patient")
            literal = patient.get("reference") if isinstance(patient, dict) else None
            own = isinstance(literal, str) and literal == principal.subject and literal.startswith("Patient/")
            return None if own and set(patients) == {principal.subject.removeprefix("Patient/")} else "consent"
        return None

    async def _shown(self, asked: _Asked, version: Version | None, current: Version | None = None) -> Version:
        """Return a version that is visible; `current`, if given, must be visible too."""
        sitting = await self._gate.judge.sit(self.principal, asked.interaction, asked.now)
        decision = await sitting.decide(version)
        if decision.permit and current is not None and version is not None and current.version != version.version:
            now = await sitting.decide(current)
            decision = decision if now.permit else now
        await self._record(asked, decision, () if version is None else (version,))
        if version is None or not decision.permit:
            raise NotFound(f"there is no {asked.target}")
        if version.content is None:
            raise Gone(f"{asked.target} was deleted")
        return version

    async def _visible_versions(
        self, sitting: Sitting, kind: str, identity: str, before: int | None, count: int
    ) -> list[Version]:
        found: list[Version] = []
        while True:
            batch = await self._gate.store.history(kind, identity, before, _BATCH)
            for version in batch:
                if (await sitting.decide(version)).permit:
                    found.append(version)
                    if len(found) == count:
                        return found
            if len(batch) < _BATCH:
                return found
            before = batch[-1].version

    async def _changeable(self, asked: _Asked, kind: str, identity: str) -> Version:
        """Return the current version if the principal may see it and may correct it."""
        version = await self._gate.store.read(kind, identity)
        decision = await (await self._gate.judge.sit(self.principal, SIGHT, asked.now)).decide(version)
        if decision.permit:
            sitting = await self._gate.judge.sit(self.principal, asked.interaction, asked.now)
            decision = await sitting.decide(version)
        await self._record(asked, decision, () if version is None else (version,))
        if version is None or version.content is None or not decision.permit:
            raise MethodNotAllowed(f"there is no {asked.target} to update; new resources get their id by POST")
        return version

    async def _same_person(self, asked: _Asked, current: Version, resource: Resource) -> None:
        """Refuse an update that would make the resource another person's, or two patients one, unless an officer asks.

        It depends on the request and on what is visible to the principal alone.
        """
        settings = self._gate.settings
        if settings.officer(self.principal.roles) or current.content is None:
            return
        if set(references.patients_of(resource, settings.base_url)) != set(current.patients):
            await self._refuse(asked, current.type, "patient", (current,))
        if current.type == "Patient" and decoded(current.content).get("link") != resource.get("link"):
            await self._refuse(asked, current.type, "link", (current,))

    async def _committed(self, asked: _Asked, change: Change, operation: str) -> Version:
        draft = provenance.draft(
            self.principal.subject, id=self._gate.identity(), client=self.principal.client, operation=operation
        )
        versions = await self._gate.store.commit(Transaction((change,), draft, self.principal.subject, asked.now))
        return versions[0]

    async def _record(
        self, asked: _Asked, decision: Decision, versions: tuple[Version, ...] | list[Version], query: str = ""
    ) -> None:
        principal = self.principal
        entry = Access(
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
        await self._gate.store.record([entry])
        self._gate.meters.decisions.labels("permit" if decision.permit else "deny").inc()


def _type(resource: Resource) -> str:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise InvalidRequest("the resource has no resourceType", expression="resourceType")
    return kind
