"""An operator's decisions about who is who: two records of one person are joined, or a wrong merge is taken back.

Both are transactions like any other: new versions, a Provenance that names the operator, places in the log. Nothing
that was written before is touched.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import Conflict, NotFound
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.identity import successor
from hawsepipe.model import Access, Change, Method, Principal, Resource, Transaction, Version
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import JournalState, Store

_BATCH = 50


@dataclass(frozen=True, slots=True)
class Merging:
    """Joins and separates the records of one store. Whoever does so is written to the access record first."""

    store: Store
    clock: Clock

    async def merge(self, loser: str, winner: str, operator: Principal) -> dict[str, Any]:
        """Let one record take the place of another. Raises NotFound, and Conflict when one of them gave way already."""
        await self._record(operator, "merge", loser)
        kept, gone = await self._present(winner), await self._present(loser)
        contents = [_content(version) for version in (kept, gone)]
        if winner == loser or any(successor("Patient", content) is not None for content in contents):
            raise Conflict("one of the records gave way to another already")
        old = [{**item, "use": "old"} for item in contents[1].get("identifier", []) if isinstance(item, dict)]
        await self._commit(
            operator,
            _change(kept, {"link": [_link(loser, "replaces")], "identifier": old}),
            _change(gone, {"link": [_link(winner, "replaced-by")], "active": False}),
        )
        return {"survivor": f"Patient/{winner}", "merged": f"Patient/{loser}"}

    async def separate(self, loser: str, operator: Principal) -> dict[str, Any]:
        """Take a merge back: the record that gave way becomes what it was before, the other one loses what it got.

        Returns both, and the messages that came under the number of the first since: they were applied to the other,
        and somebody has to look at each. Raises NotFound, and Conflict when the record did not give way.
        """
        await self._record(operator, "unmerge", loser)
        gone = await self._present(loser)
        winner = successor("Patient", _content(gone))
        if winner is None:
            raise Conflict("the record did not give way to another one")
        merged, before = await self._merged(gone)
        kept = await self._present(winner)
        restored = _content(before) if before is not None else _stub(_content(gone), winner)
        earlier = await self._as_of(winner, merged)
        await self._commit(
            operator,
            Change(Method.PUT, "Patient", loser, restored, gone.version),
            Change(Method.PUT, "Patient", winner, _without(_content(kept), loser, restored, earlier), kept.version),
        )
        since = await self._since(loser, merged)
        return {
            "restored": f"Patient/{loser}",
            "survivor": f"Patient/{winner}",
            "to_check": [version.reference for version in since],
            "messages": await self._messages(since),
        }

    async def _present(self, id_: str) -> Version:
        version = await self.store.read("Patient", id_)
        if version is None or version.content is None:
            raise NotFound(f"there is no Patient/{id_}")
        return version

    async def _merged(self, gone: Version) -> tuple[Version, Version | None]:
        """Return the version in which a record gave way, and the one before it."""
        merged, number = gone, gone.version
        while number > 1:
            page = await self.store.history("Patient", gone.id, number, _BATCH)
            for version in page:
                if version.content is None or successor("Patient", _content(version)) is None:
                    return merged, version if version.content is not None else None
                merged, number = version, version.version
            if not page:
                break
        return merged, None

    async def _as_of(self, id_: str, merged: Version) -> Resource:
        """Return a record as it was before the merge, empty if it was not there."""
        number: int | None = None
        while page := await self.store.history("Patient", id_, number, _BATCH):
            for version in page:
                if version.last_updated < merged.last_updated:
                    return {} if version.content is None else _content(version)
                number = version.version
        return {}

    async def _since(self, loser: str, merged: Version) -> list[Version]:
        """Return the Provenances of messages since a merge that were about one record and were applied to the other."""
        told = await self.store.spoken_of("Patient", loser)
        return [version for version in told if version.last_updated >= merged.last_updated]

    async def _messages(self, told: Sequence[Version]) -> list[int]:
        """Return the numbers of the messages that Provenances name, as far as the journal still has them."""
        found: set[int] = set()
        for digest in {digest for version in told for digest in provenance.messages(_content(version))}:
            records = await self.store.messages(Messages(_BATCH, digest=digest, state=JournalState.APPLIED.value))
            found |= {record.sequence for record in records}
        return sorted(found)

    async def _commit(self, operator: Principal, *changes: Change) -> None:
        draft = provenance.draft(operator.subject, id=str(uuid.uuid4()), client=operator.client, operation="UPDATE")
        await self.store.commit(Transaction(changes, draft, operator.subject, self.clock()))

    async def _record(self, operator: Principal, interaction: str, patient: str) -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction=interaction,
            target=f"Patient/{patient}",
            patients=(patient,),
            permit=True,
            reasons=("operator",),
        )
        await self.store.record([access])


def _content(version: Version) -> Resource:
    return {key: value for key, value in decode(version.content or b"").items() if key != "meta"}


def _change(version: Version, told: Mapping[str, Any]) -> Change:
    resource = {"resourceType": "Patient", "id": version.id, **told}
    union = frozenset({"link", "identifier"})
    return Change(Method.MERGE, "Patient", version.id, resource, version.version, union=union)


def _link(other: str, type_: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{other}"}, "type": type_}


def _stub(gone: Resource, winner: str) -> Resource:
    """Return a record that was first heard of when it gave way, as one that stands for itself."""
    left = [link for link in gone.get("link", []) if link != _link(winner, "replaced-by")]
    rest = {key: value for key, value in gone.items() if key not in ("link", "active")}
    return rest | ({"link": left} if left else {})


def _without(kept: Resource, loser: str, restored: Resource, earlier: Resource) -> Resource:
    """Return the survivor without the link and without the numbers that it did not have before the merge."""
    own = {_number(item) for item in earlier.get("identifier", [])}
    others = {_number(item) for item in restored.get("identifier", [])} - own
    result = dict(kept)
    result["link"] = [link for link in kept.get("link", []) if link != _link(loser, "replaces")]
    result["identifier"] = [item for item in kept.get("identifier", []) if _number(item) not in others]
    return {key: value for key, value in result.items() if value != []}


def _number(item: Any) -> tuple[Any, Any]:
    return (item.get("system"), item.get("value")) if isinstance(item, dict) else (None, None)
