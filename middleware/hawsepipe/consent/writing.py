"""Writes of one principal: matched, decided and committed together, or not at all.

Steps (https://hl7.org/fhir/R4/http.html#transaction-rules; one order alone is a transaction of one):

1. Admission: tenant, scope and role of every order.
2. Matching: criteria are asked of what the principal sees, all of them before anything is written.
3. Content: what of the request or of a visible resource is not the principal's to write is refused.
4. Decision: what is changed or deleted must be visible and correctable, by the version that is current.
5. Commit, on condition that every match is still what it was and every version still current; else all from step 2.

Hidden and absent answer alike: a hidden match is no match, so a conditional create makes a new resource, and with it,
in the same commit, a sealed Task that tells the privacy officer of the pair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from hawsepipe.consent.admission import PERMIT, Admission, Asked, House
from hawsepipe.consent.dressing import Dressing
from hawsepipe.consent.labels import check_meta
from hawsepipe.consent.matches import Matches
from hawsepipe.consent.orders import Criteria, Order, Written
from hawsepipe.consent.referring import Targets
from hawsepipe.consent.stored import decoded
from hawsepipe.consent.terms import SIGHT, SIGHT_OF_DELETED
from hawsepipe.errors import (
    Conflict,
    Forbidden,
    Gone,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RequestError,
)
from hawsepipe.fhir import mentions, provenance, references
from hawsepipe.fhir.codec import check_depth
from hawsepipe.model import Change, Decision, Method, Resource, Transaction, Version
from hawsepipe.visibility import SEALED

_ATTEMPTS: Final = 8
_TASKS: Final = "urn:hawsepipe:codes:task"


_OPERATIONS: Final = {Method.CREATE: "CREATE", Method.PUT: "UPDATE", Method.DELETE: "DELETE"}
_ORDER: Final = {"delete": 0, "create": 1, "update": 2, "patch": 2}


@dataclass(slots=True)
class _Plan:
    """One order on its way. `identity` is known once it is matched; `match` is what a conditional create found.

    `hidden` are resources that it would have matched if the principal saw them. `change` None: nothing is written.
    """

    place: int
    order: Order
    asked: Asked
    identity: str | None = None
    match: Version | None = None
    created: bool = False
    change: Change | None = None
    hidden: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """`Patient/1`."""
        return f"{self.order.type}/{self.identity}"

    @contextmanager
    def named(self) -> Iterator[None]:
        """Say of an error which order it is about."""
        try:
            yield
        except RequestError as error:
            error.part = self.place
            raise


class Writing:
    """Carries out orders for one principal; `criteria` reads those of conditional orders."""

    def __init__(self, house: House, admission: Admission, dressing: Dressing, criteria: Criteria | None) -> None:
        self._house = house
        self._admission = admission
        self._dressing = dressing
        self._targets = Targets(house, admission)
        self._criteria = criteria

    async def carried_out(self, orders: Sequence[Order]) -> tuple[Written, ...]:
        """Carry out orders, all or nothing; the answers are in their order. No two may be about one resource.

        Raises RequestError, whose `part` is the place of the order that it is about: Forbidden (step 1, 3, 4),
        PreconditionFailed (several matches, If-Match, If-None-Match), MethodNotAllowed (an update of what is absent or
        hidden), NotFound and Gone (a patch), InvalidRequest, InvalidResource, Conflict (others kept changing it).
        """
        plans = [await self._admitted(place, order) for place, order in enumerate(orders)]
        for _ in range(_ATTEMPTS):
            attempt = [replace(plan) for plan in plans]
            matches = Matches(self._house, self._admission, self._criteria, self._dressing.redaction)
            try:
                await self._matched(attempt, matches)
                self._targets.made = frozenset(plan.reference for plan in attempt if plan.identity is not None)
                for plan in attempt:
                    with plan.named():
                        await self._decided(plan, matches)
            finally:
                await self._admission.record_noted()
            try:
                return await self._committed(attempt, matches)
            except PreconditionFailed:
                continue  # what was decided about has moved on
        raise Conflict("others keep changing the resource")

    # 1. admission

    async def _admitted(self, place: int, order: Order) -> _Plan:
        target = order.type if order.id is None else f"{order.type}/{order.id}"
        plan = _Plan(place, order, await self._asked(place, order, target), order.id)
        if order.interaction in {"update", "patch"} and self._dressing.redaction.concerns(order.type):
            # She would write back what she was shown, and what she was not shown would be gone.
            with plan.named():
                await self._admission.refuse(plan.asked, order.type, "redacted")
        if order.interaction == "create" and order.name is not None:
            plan.identity = self._house.identity()
        return plan

    async def _asked(self, place: int, order: Order, target: str) -> Asked:
        try:
            return await self._admission.admitted(order.interaction, order.type, target, writes=True)
        except RequestError as error:
            error.part = place
            raise

    # 2. matching

    async def _matched(self, plans: Sequence[_Plan], matches: Matches) -> None:
        """Give every plan its identity. Criteria that name another order wait until that one has its own."""
        waiting = list(plans)
        while waiting:
            left: list[_Plan] = []
            names = {it.order.name for it in waiting if it.order.name is not None}
            for plan in waiting:
                if plan.order.criteria is not None and matches.mentions(plan.order.criteria, names):
                    left.append(plan)
                    continue
                with plan.named():
                    await self._match(plan, matches)
                if plan.order.name is not None and plan.order.interaction == "update":
                    plan.identity = plan.identity or self._house.identity()
                if plan.order.name is not None:
                    matches.names[plan.order.name] = plan.reference
                    names.discard(plan.order.name)
            if len(left) == len(waiting):
                raise _told(left[0], InvalidRequest("the criteria of these entries wait for each other"))
            waiting = left
        _check_targets(plans, matches)

    async def _match(self, plan: _Plan, matches: Matches) -> None:
        order = plan.order
        if order.criteria is None:
            return
        found = await matches.one(order.type, order.criteria)
        if found is not None:
            given = None if order.resource is None else order.resource.get("id")
            if order.interaction == "create":
                plan.match = found
            elif order.interaction == "update" and given not in {None, found.id}:
                raise InvalidRequest("the resource has another id than the one that matches", expression=_id(order))
            plan.identity = found.id
        elif order.interaction == "update" and order.resource is not None and "id" in order.resource:
            raise MethodNotAllowed("nothing matches, and new resources get their id from the server")
        elif order.interaction in {"create", "update"}:
            plan.created = True
            plan.hidden = await matches.hidden(order.type, order.criteria)
        elif order.interaction == "patch":
            raise NotFound("nothing matches")
        plan.asked = replace(plan.asked, target=order.type if plan.identity is None else plan.reference)

    # 3. content, 4. decision

    async def _decided(self, plan: _Plan, matches: Matches) -> None:
        order = plan.order
        if plan.match is not None or (plan.identity is None and order.interaction == "delete"):
            # It is there already, or nothing is to be deleted.
            if plan.match is None and order.if_match is not None:
                raise PreconditionFailed("there is nothing that If-Match could name")
            self._admission.note(plan.asked, PERMIT, () if plan.match is None else (plan.match,))
            return
        if order.interaction == "create" or plan.created:
            await self._decide_create(plan, await matches.linked(order))
        elif order.interaction == "update":
            await self._decide_update(plan, await matches.linked(order))
        elif order.interaction == "patch":
            await self._decide_patch(plan)
        else:
            await self._decide_delete(plan)

    async def _decide_create(self, plan: _Plan, resource: Resource) -> None:
        order = plan.order
        if order.interaction == "update":  # by criteria that nothing meets: the scope to create is needed too
            plan.asked = await self._admission.admitted("create", order.type, order.type, writes=True)
            if order.if_match is not None:
                raise PreconditionFailed("there is nothing that If-Match could name")
        await self._admission.check_content(plan.asked, order.type, resource)
        check_meta(resource)
        await self._targets.check(plan.asked, resource)
        plan.identity = plan.identity or self._house.identity()
        plan.asked = replace(plan.asked, target=plan.reference)
        self._admission.note(plan.asked, PERMIT, ())
        plan.created = True
        content = await self._taken({**resource, "id": plan.identity}, plan.reference)
        plan.change = Change(Method.CREATE, order.type, str(plan.identity), content, if_match=0)

    async def _decide_update(self, plan: _Plan, resource: Resource) -> None:
        kind, identity = plan.order.type, str(plan.identity)
        resource = {**resource, "id": identity}
        await self._admission.check_content(plan.asked, kind, resource)
        check_meta(resource)
        current, seen, decision = await self._standing(plan, SIGHT)
        if current is None or not (seen and decision.permit):
            raise MethodNotAllowed(f"there is no {plan.asked.target} to update; new resources get their id by POST")
        _check_tags(plan.order, current)
        await self._same_person(plan.asked, current, resource)
        resource = await self._kept(plan.asked, current, resource)
        plan.created = current.content is None
        # On the version that was decided about, so that nothing slips in between.
        base = 0 if plan.created else current.version
        taken = await self._taken(resource, plan.reference)
        plan.change = Change(Method.PUT, kind, identity, taken, if_match=base)

    async def _decide_patch(self, plan: _Plan) -> None:
        order, identity = plan.order, str(plan.identity)
        current, seen, decision = await self._standing(plan, SIGHT)
        if current is None or not seen:
            raise NotFound(f"there is no {plan.asked.target}")
        if current.content is None:
            raise Gone(f"{plan.asked.target} was deleted")
        if not decision.permit:
            raise Forbidden(f"consents do not let the requester correct {plan.asked.target}")
        _check_tags(order, current)
        assert order.alter is not None, "a patch alters"
        # What she sees is what is patched: a test of what references say of the hidden must not tell of it.
        held = decoded(current.content)
        resource = order.alter(self._dressing.dressed(held, await self._unsaid(plan.asked, held)))
        check_depth(resource)
        if resource.get("resourceType") != order.type or resource.get("id") != identity:
            raise InvalidRequest("a patch must leave id and resourceType as they are", expression=_id(order))
        check_meta(resource)
        await self._admission.check_content(plan.asked, order.type, resource)
        await self._same_person(plan.asked, current, resource)
        taken = await self._taken(await self._kept(plan.asked, current, resource), plan.reference)
        plan.change = Change(Method.PUT, order.type, identity, taken, if_match=current.version)

    async def _decide_delete(self, plan: _Plan) -> None:
        order, identity = plan.order, str(plan.identity)
        current, seen, decision = await self._standing(plan, SIGHT_OF_DELETED)
        if current is None or current.content is None or not seen:
            if order.if_match is not None:
                raise PreconditionFailed("there is nothing that If-Match could name")
            if order.criteria is None and not order.bundled and (current is None or not seen):
                raise NotFound(f"there is no {plan.asked.target}")
            return
        if not decision.permit:
            raise Forbidden(f"consents do not let the requester delete {plan.asked.target}")
        _check_tags(order, current)
        await self._admission.check_content(plan.asked, order.type, decoded(current.content))
        plan.change = Change(Method.DELETE, order.type, identity, None, if_match=current.version)

    async def _taken(self, resource: Resource, reference: str) -> Resource:
        """Return content without what is too large for the store. Raises InvalidResource."""
        taking = self._house.taking
        if taking is None:
            return resource
        if taking.waits(resource):
            return await asyncio.to_thread(taking.taken, resource, reference)
        return taking.taken(resource, reference)

    async def _standing(self, plan: _Plan, sight: str) -> tuple[Version | None, bool, Decision]:
        """Return the current version, whether the principal sees it, and whether she may do what she asks."""
        judge, principal, asked = self._house.judge, self._admission.principal, plan.asked
        version = await self._house.store.read(plan.order.type, str(plan.identity))
        decision = await (await judge.sit(principal, sight, asked.now)).decide(version)
        seen = decision.permit
        if seen:
            decision = await (await judge.sit(principal, asked.interaction, asked.now)).decide(version)
        self._admission.note(asked, decision, () if version is None else (version,))
        return version, seen, decision

    async def _kept(self, asked: Asked, current: Version, resource: Resource) -> Resource:
        """Return new content with what references of the current one say of resources that the principal does not see,
        and check what it refers to newly.
        """
        before = await self._house.judge.content(current)
        if before is None:
            await self._targets.check(asked, resource)
            return resource
        await self._targets.check(asked, resource, before)
        base = self._house.settings.base_url
        return mentions.restored(resource, before, await self._unsaid(asked, before), base)

    async def _unsaid(self, asked: Asked, resource: Resource) -> frozenset[str]:
        named = mentions.mentioned(resource, self._house.settings.base_url)
        return await self._dressing.hidden(named, "read", asked.now)

    async def _same_person(self, asked: Asked, current: Version, resource: Resource) -> None:
        """Refuse a change that would make the resource another person's, or two patients one, unless an officer asks.

        It depends on the request and on what is visible to the principal alone.
        """
        settings = self._house.settings
        if settings.officer(self._admission.principal.roles):
            return
        about = references.patients_of(resource, settings.base_url)
        if set(about) != set(current.patients):
            await self._admission.refuse(asked, current.type, "patient", (current,))
        if current.type == "Patient":
            before = await self._house.judge.content(current)
            if before is not None and before.get("link") != resource.get("link"):
                await self._admission.refuse(asked, current.type, "link", (current,))

    # 5. commit

    async def _committed(self, plans: Sequence[_Plan], matches: Matches) -> tuple[Written, ...]:
        """Commit what is planned, in the order of the specification. Raises PreconditionFailed when it moved on."""
        writing = sorted((it for it in plans if it.change is not None), key=lambda it: _ORDER[it.order.interaction])
        if not writing:
            return tuple(Written(plan.match) for plan in plans)
        principal, now = self._admission.principal, writing[0].asked.now
        changes = tuple(plan.change for plan in writing if plan.change is not None)
        methods = {change.method for change in changes}
        operation = _OPERATIONS[changes[0].method] if len(methods) == 1 else "UPDATE"
        draft = provenance.draft(
            principal.subject, id=self._house.identity(), client=principal.client, operation=operation
        )
        # One for every resource that criteria made, whether they match something hidden or not: whoever counts what is
        # written (a receipt tells how large the log is) must count the same.
        tasks = tuple(self._task(plan) for plan in writing if plan.created and plan.order.criteria is not None)
        beside = (Transaction(tasks, None, principal.subject, now),) if tasks else ()
        transaction = Transaction(changes, draft, principal.subject, now)
        try:
            versions = await self._house.store.commit(transaction, expected=matches.expected, beside=beside)
        except RequestError as error:
            error.part = None if error.part is None else writing[error.part].place
            raise
        made = {id(plan): version for plan, version in zip(writing, versions, strict=False)}
        return tuple(Written(made.get(id(plan), plan.match), plan.created) for plan in plans)

    def _task(self, plan: _Plan) -> Change:
        """Return what tells the privacy officer that a resource was made beside others that its maker does not see.

        It is completed, and names nothing, when there are none.
        """
        identity = self._house.identity()
        system, code = SEALED
        task: Resource = {
            "resourceType": "Task",
            "id": identity,
            "meta": {"security": [{"system": system, "code": code}]},
            "status": "requested" if plan.hidden else "completed",
            "intent": "order",
            "code": {"coding": [{"system": _TASKS, "code": "possible-duplicate"}]},
            "focus": {"reference": plan.reference},
        }
        if plan.hidden:
            kind = {"coding": [{"system": _TASKS, "code": "duplicate-of"}]}
            task["input"] = [{"type": kind, "valueReference": {"reference": reference}} for reference in plan.hidden]
        return Change(Method.CREATE, "Task", identity, task, if_match=0)


def _check_targets(plans: Sequence[_Plan], matches: Matches) -> None:
    """Raise InvalidRequest for two orders about one resource, also for two creates by the same criteria."""
    found = {plan.reference for plan in plans if plan.match is not None}
    seen: set[object] = set()
    for plan in plans:
        order = plan.order
        if plan.match is not None:  # the same for several creates, as long as nothing changes it
            continue
        key: object = plan.reference if plan.identity is not None else plan.place
        if plan.created and order.criteria is not None:
            key = (order.type, matches.resolved(order.criteria))
        if key in seen or key in found:
            raise _told(plan, InvalidRequest("another entry is about this resource too"))
        seen.add(key)


def _check_tags(order: Order, current: Version) -> None:
    """Hold the order to If-Match and If-None-Match."""
    there = current.content is not None
    if order.if_match is not None and (not there or order.if_match != current.version):
        raise PreconditionFailed("the current version is not the one of If-Match")
    if order.if_absent and there:
        raise PreconditionFailed("the resource is there already")


def _told(plan: _Plan, error: RequestError) -> RequestError:
    error.part = plan.place
    return error


def _id(order: Order) -> str:
    return f"{order.type}.id"
