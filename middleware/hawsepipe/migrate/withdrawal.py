"""Takes a load back by new versions: what it made is deleted, what it changed becomes what it was before, unless
somebody has changed it since. Nothing that was written or anchored is touched.

Each Provenance of the load is marked in the commit that takes back what it tells of, so it can be broken off anywhere.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hawsepipe.clock import Clock
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.provenance import LOAD, WITHDRAWN, Place
from hawsepipe.fhir.query import Clause, Kind, Query, ReferenceValue, TokenValue
from hawsepipe.migrate.sealing import task_id
from hawsepipe.model import Access, Change, Method, Principal, Resource, Transaction, Version
from hawsepipe.store.contract import Store
from hawsepipe.visibility import Constant, Visibility

EVERYTHING: Final = Visibility(Constant(True), (), Constant(True))
_PAGE: Final = 50
_SERVERS: Final = frozenset({"versionId", "lastUpdated"})


@dataclass(slots=True)
class Withdrawn:
    """What became of the resources of a load: how many were deleted and restored by type, which somebody else had
    changed since (`Type/id`) and stay.
    """

    deleted: Counter[str]
    restored: Counter[str]
    kept: list[str]

    @classmethod
    def none(cls) -> Withdrawn:
        """Return that of a load of nothing."""
        return cls(Counter(), Counter(), [])

    def told(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"deleted": dict(self.deleted), "restored": dict(self.restored), "kept": self.kept}


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Takes back one load in the name of `actor` (a reference) by way of `client`."""

    store: Store
    load: str
    actor: str
    client: str
    clock: Clock

    def access(self, operator: Principal) -> Access:
        """Return the entry of the access record that says who takes the load back."""
        return Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction="withdraw",
            target=f"Task/{task_id(self.load)}",
            patients=(),
            permit=True,
            reasons=("operator",),
        )

    async def run(self, found: Withdrawn, step: Callable[[], None]) -> None:
        """Take everything back; Consents last, since they may close what is still there. `step` is called
        after each commit.
        """
        for last in (False, True):
            cursor = None
            while True:
                query = Query("Provenance", (_tagged(self.load),), count=_PAGE, cursor=cursor)
                page = await self.store.search(query, EVERYTHING)
                proofs = [it for it in page.versions if _of_consents(it) is last]
                if proofs:
                    await self._take_back(proofs, found)
                    step()
                cursor = page.next
                if cursor is None:
                    break

    async def _take_back(self, proofs: Sequence[Version], found: Withdrawn) -> None:
        instant = self.clock()
        transactions: list[Transaction] = []
        for proof in proofs:
            transactions.append(await self._transaction(proof, instant, found))
        await self.store.commit(transactions[0], beside=transactions[1:])

    async def _transaction(self, proof: Version, instant: datetime, found: Withdrawn) -> Transaction:
        content = _content(proof)
        changes: list[Change] = []
        if provenance.says_unchanged(content):
            # It tells of nothing that could be taken back, and only the store writes such a one.
            changes.append(Change(Method.DELETE, "Provenance", proof.id, None, proof.version))
        else:
            for place in provenance.targets(content):
                if place is not None:
                    changes += await self._undone(place, found)
            tags = [tag for tag in content["meta"]["tag"] if tag.get("system") != LOAD]
            meta = {**content["meta"], "tag": [*tags, {"system": WITHDRAWN, "code": self.load}]}
            changes.append(Change(Method.PUT, "Provenance", proof.id, {**content, "meta": meta}, proof.version))
        draft = provenance.draft(self.actor, id=str(uuid.uuid4()), client=self.client, operation="DELETE")
        # The Provenance of a withdrawal is about the resources; the mark on the load's own one is beside them.
        draft["entity"] = [{"role": "revision", "what": {"reference": f"Provenance/{proof.id}"}}]
        return Transaction(tuple(changes), draft, self.actor, instant)

    async def _undone(self, place: Place, found: Withdrawn) -> list[Change]:
        """Return what takes back one version of the load; nothing where a newer one of it is taken back anyway."""
        current = await self.store.read(place.type, place.id)
        if current is None:
            return []
        number = current.version
        made = {number} if number == place.version == 1 else await self._made(place)
        if number not in made:
            if place.version == max(made, default=place.version):
                found.kept.append(place.reference)
            return []
        if place.version != number or current.content is None:
            return []
        first = number
        while first - 1 in made:
            first -= 1
        before = await self.store.vread(place.type, place.id, first - 1) if first > 1 else None
        if before is None or before.content is None:
            found.deleted[place.type] += 1
            return [Change(Method.DELETE, place.type, place.id, None, number)]
        found.restored[place.type] += 1
        return [Change(Method.PUT, place.type, place.id, _content(before), number)]

    async def _made(self, place: Place) -> set[int]:
        """Return which versions of a resource the load made, by its Provenances."""
        target = Clause("target", Kind.REFERENCE, None, (ReferenceValue(place.type, place.id, None),))
        found: set[int] = set()
        cursor = None
        while True:
            query = Query("Provenance", (_tagged(self.load, None), target), count=_PAGE, cursor=cursor)
            page = await self.store.search(query, EVERYTHING)
            for proof in page.versions:
                content = _content(proof)
                named = () if provenance.says_unchanged(content) else provenance.targets(content)
                found |= {it.version for it in named if it is not None and it.reference == place.reference}
            cursor = page.next
            if cursor is None:
                return found


def _tagged(load: str, system: str | None = LOAD) -> Clause:
    return Clause("_tag", Kind.TOKEN, None, (TokenValue(system, load),))


def _of_consents(proof: Version) -> bool:
    return any(place is not None and place.type == "Consent" for place in provenance.targets(_content(proof)))


def _content(version: Version) -> Resource:
    content = decode(version.content or b"{}")
    meta = {key: value for key, value in (content.get("meta") or {}).items() if key not in _SERVERS}
    rest = {key: value for key, value in content.items() if key != "meta"}
    return rest | ({"meta": meta} if meta else {})
