"""The store as one principal may see it, and the only way to it for clients.

Every answer is a function of what the principal may see and of the request: hidden and absent take the same path to
the same text. Every access is recorded before anything of it leaves; when it cannot be recorded, nothing leaves
(StoreError).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from uuid import uuid4

from hawsepipe.clock import Clock
from hawsepipe.consent.admission import Admission, Asked
from hawsepipe.consent.dressing import Dressing
from hawsepipe.consent.everything import Everything, Wanted
from hawsepipe.consent.exports import Batch, Exports, Place, Portion
from hawsepipe.consent.histories import Histories
from hawsepipe.consent.judge import Judge
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.news import News, Newsreel, newest
from hawsepipe.consent.orders import Criteria, Order, Written
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.searches import Searches
from hawsepipe.consent.writing import Writing
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import Gone, InvalidRequest, NotFound
from hawsepipe.fhir.history import EVER, Span
from hawsepipe.fhir.query import Cursor, Page, Query
from hawsepipe.hooks import ConsentRule
from hawsepipe.meters import Meters
from hawsepipe.model import Principal, Resource, Version
from hawsepipe.store.contract import Store


def new_id() -> str:
    """Return a random resource id."""
    return str(uuid4())


class Gate:
    """Opens views on one store.

    `labels` must be the labeller that the store was opened with; `identity` gives ids of new resources; `rules` narrow
    what is visible; `taking` keeps large contents beside the store.
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
        taking: Taking | None = None,
    ) -> None:
        self.taking = taking
        self.store = store
        self.clock = clock
        self.settings = settings
        self.meters = meters
        self.identity = identity
        self.judge = Judge(store, settings, labels if labels is not None else Labels(base_url=settings.base_url), rules)

    def view(self, principal: Principal) -> View:
        """Return the store as this principal may see it."""
        return View(self, principal)

    async def newest(self) -> tuple[int, int]:
        """Return the place after everything that there is, for `View.news`."""
        return await newest(self.store)


class View:
    """The store as `principal` may see it now; each call decides anew."""

    def __init__(self, gate: Gate, principal: Principal) -> None:
        self._gate = gate
        self._admission = Admission(gate, principal)
        self._dressing = Dressing(gate, self._admission)
        self.principal = principal

    async def read(self, type: str, id: str) -> Version:
        """Read (https://hl7.org/fhir/R4/http.html#read).

        Raises NotFound (absent or hidden), Gone (deleted, and it was visible), Forbidden (scope, role).
        """
        asked = await self._admission.admitted("read", type, f"{type}/{id}")
        return await self._shown(asked, await self._gate.store.read(type, id))

    async def vread(self, type: str, id: str, version: int) -> Version:
        """Vread (https://hl7.org/fhir/R4/http.html#vread): that version and the current one must be visible.

        What was corrected (a label added, another patient named) is not to be had by asking for the version before.
        Raises as `read`.
        """
        asked = await self._admission.admitted("vread", type, f"{type}/{id}/_history/{version}")
        store = self._gate.store
        return await self._shown(asked, await store.vread(type, id, version), await store.read(type, id))

    async def history(self, type: str, id: str, before: int | None, count: int, span: Span = EVER) -> Page:
        """Instance history (https://hl7.org/fhir/R4/http.html#history); see `consent.histories`."""
        page = await Histories(self._gate, self._admission).instance(type, id, before, count, span)
        return await self._dressed(page, "history-instance")

    async def changes(self, type: str | None, before: Cursor | None, count: int, span: Span = EVER) -> Page:
        """History of a type, or of the system (https://hl7.org/fhir/R4/http.html#history); see `consent.histories`."""
        page = await Histories(self._gate, self._admission).across(type, before, count, span)
        return await self._dressed(page, "history-system" if type is None else "history-type")

    async def news(self, kinds: Collection[str], after: tuple[int, int], count: int) -> News:
        """Return what was created and updated since; see `consent.news`. Raises Forbidden."""
        news = await Newsreel(self._gate, self._admission).since(kinds, after, count)
        versions = await self._dressing.several(news.versions, "history-type", self._gate.clock())
        return replace(news, versions=tuple(versions))

    async def everything(self, wanted: Wanted, after: Cursor | None, count: int) -> Page:
        """Compartment (https://hl7.org/fhir/R4/patient-operation-everything.html); see `consent.everything`."""
        page = await Everything(self._gate, self._admission).page(wanted, after, count)
        return await self._dressed(page, "search-type")

    def within_reach(self, interaction: str, kinds: Iterable[str]) -> tuple[str, ...]:
        """Return which types the principal may ask for at all: by tenant, scope and role, whatever there is of them."""
        return tuple(kind for kind in kinds if self._admission.covers(interaction, kind))

    def may_write(self, kind: str) -> bool:
        """Return whether the principal may create or update a type at all, whatever there is of it."""
        return any(self._admission.covers(interaction, kind, writes=True) for interaction in ("create", "update"))

    async def members(self, group: str) -> tuple[str, ...]:
        """Return the patients of a visible Group; see `consent.exports`. Raises NotFound, Gone, Forbidden."""
        return await Exports(self._gate, self._admission).members(group)

    async def bulk(self, portion: Portion, place: Place, count: int) -> Batch:
        """Return what comes next of an export; see `consent.exports`. Raises Forbidden."""
        batch = await Exports(self._gate, self._admission, self._dressing.redaction).batch(portion, place, count)
        versions = await self._dressing.several(batch.versions, "export", self._gate.clock())
        return replace(batch, versions=tuple(versions))

    async def still_allowed(self, kind: str, named: Sequence[tuple[str, int]]) -> frozenset[tuple[str, int]]:
        """Return which exported (id, version) may be given now; see `consent.exports`. Raises Forbidden."""
        return await Exports(self._gate, self._admission).allowed(kind, named)

    async def search(self, query: Query) -> Page:
        """Search (https://hl7.org/fhir/R4/http.html#search) over what is visible, as if nothing else were there.

        Who asks for what is about a patient gets what is about the person: records that were merged count as one.
        Raises Forbidden.
        """
        page = await Searches(self._gate, self._admission, self._dressing.redaction).one(query)
        return await self._dressed(page, "search-type")

    async def search_across(self, queries: Sequence[Query], after: Cursor | None, count: int) -> Page:
        """Search several types one after the other; see `consent.searches`. Raises Forbidden."""
        page = await Searches(self._gate, self._admission, self._dressing.redaction).across(queries, after, count)
        return await self._dressed(page, "search-type")

    async def create(self, resource: Resource) -> Version:
        """Create (https://hl7.org/fhir/R4/http.html#create) under an id of ours;

        the client's is ignored. Raises Forbidden and InvalidResource.
        """
        return _version(await self.write([Order("create", _type(resource), resource=resource)]))

    async def update(self, resource: Resource, if_match: int | None) -> Version:
        """Update (https://hl7.org/fhir/R4/http.html#update) of what is visible; it never creates, but it brings back
        what was deleted.

        Raises MethodNotAllowed (absent, hidden, or not the principal's to change), PreconditionFailed (the current
        version is not `if_match`), Conflict (others kept changing it), InvalidResource, and Forbidden: also for one
        that would move the resource to another patient or join two, which is the privacy officer's.
        """
        kind, identity = _type(resource), resource.get("id")
        if not isinstance(identity, str):
            raise InvalidRequest("the resource has no id", expression=f"{kind}.id")
        return _version(await self.write([Order("update", kind, identity, resource, if_match=if_match)]))

    async def write(self, orders: Sequence[Order], criteria: Criteria | None = None) -> tuple[Written, ...]:
        """Carry out orders together, all or nothing, in one transaction of the store; see `consent.writing`."""
        written = await Writing(self._gate, self._admission, self._dressing, criteria).carried_out(orders)
        now = self._gate.clock()
        shown = [None if it.version is None else await self._dressing.one(it.version, "read", now) for it in written]
        return tuple(replace(it, version=version) for it, version in zip(written, shown, strict=True))

    async def _dressed(self, page: Page, interaction: str) -> Page:
        return await self._dressing.page(page, interaction, self._gate.clock())

    async def _shown(self, asked: Asked, version: Version | None, current: Version | None = None) -> Version:
        """Return a version that is visible; `current`, if given, must be visible too."""
        sitting = await self._gate.judge.sit(self.principal, asked.interaction, asked.now)
        decision = await sitting.decide(version)
        if decision.permit and current is not None and version is not None and current.version != version.version:
            now = await sitting.decide(current)
            decision = decision if now.permit else now
        await self._admission.record(asked, decision, () if version is None else (version,))
        if version is None or not decision.permit:
            raise NotFound(f"there is no {asked.target}")
        if version.content is None:
            raise Gone(f"{asked.target} was deleted")
        return await self._dressing.one(version, asked.interaction, asked.now)


def _version(written: Sequence[Written]) -> Version:
    version = written[0].version
    assert version is not None, "only a delete leaves nothing"
    return version


def _type(resource: Resource) -> str:
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise InvalidRequest("the resource has no resourceType", expression="resourceType")
    return kind
