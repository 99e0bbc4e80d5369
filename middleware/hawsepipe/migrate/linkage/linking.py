"""Links the records of one person that several sources brought, and keeps what somebody has decided.

Nothing is merged and nothing chosen: each record stays as it is and gets a `link` (seealso) to the others of its group.
What a group contradicts itself in is listed. Groups are made anew each time from pairs and decisions, so a decision can
be taken back, and the same records give the same groups; a group keeps its name as long as one of its members does.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hawsepipe.clock import Clock
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.identity import successor
from hawsepipe.fhir.query import Query
from hawsepipe.migrate.linkage.model import scored
from hawsepipe.migrate.linkage.people import Person, person
from hawsepipe.migrate.linkage.rules import REVIEW, Judged, Names, Verdict, clusters, judged
from hawsepipe.migrate.state import encoded
from hawsepipe.migrate.withdrawal import EVERYTHING
from hawsepipe.model import Access, Change, Method, Principal, Resource, Transaction
from hawsepipe.store.contract import Store
from hawsepipe.store.loads import Note

NOTES: Final = ":linkage"
"""Under which name the notes are; no load can have it."""

_PAIRS: Final = "pairs/"
_DECISION: Final = "decision/"
_GROUPS: Final = "groups"
_PAGE: Final = 500
_TOGETHER: Final = 50
"""Records whose links are written in one commit."""


class Pair(NamedTuple):
    """Two records (the lesser id first), how probable it is that they are one person, and what is done about it."""

    one: str
    other: str
    score: float
    judged: Judged

    @property
    def key(self) -> str:
        """What names the pair."""
        return f"{self.one}|{self.other}"


@dataclass(frozen=True, slots=True)
class Linking:
    """The linkage of one store; `committed` is called after each commit."""

    store: Store
    clock: Clock
    committed: Callable[[], None]

    async def run(self, operator: Principal) -> dict[str, Any]:
        """Compare all patients, join what is certain, list what somebody is to look at. Raises ConfigError without the
        extra.
        """
        people = await self._people()
        pairs = await asyncio.to_thread(paired, people)
        await self._keep(pairs)
        return await self._joined(people, pairs, operator)

    async def review(self) -> list[dict[str, Any]]:
        """Return the pairs that wait for a decision, the most probable first. Ids and names of elements alone."""
        decided = await self._decisions()
        waiting = [pair for pair in await self._pairs() if pair.judged.verdict is Verdict.REVIEW]
        waiting = [pair for pair in waiting if decided.get(pair.key, {}).get("same") is None]
        return [
            {"one": pair.one, "other": pair.other, "score": round(pair.score, 6), "reasons": list(pair.judged.reasons)}
            for pair in sorted(waiting, key=lambda it: (-it.score, it.key))
        ]

    async def decide(self, one: str, other: str, same: bool | None, operator: Principal) -> dict[str, Any]:
        """Say that two records are one person, or are not; None takes a decision back. Groups follow at once.

        Raises NotFound for a record that is not there, and InvalidRequest for one and the same.
        """
        if one == other:
            raise InvalidRequest("a decision is about two records")
        one, other = sorted((one, other))
        people = await self._people()
        known = {it.id for it in people}
        for id_ in (one, other):
            if id_ not in known:
                raise NotFound(f"there is no Patient/{id_} that stands for itself")
        await self._record(operator, one, other)
        earlier = (await self._decisions()).get(f"{one}|{other}", {})
        told = {"same": same, "by": operator.subject, "at": instant_text(self.clock())}
        history = [*earlier.get("earlier", ()), *([{key: earlier[key] for key in told}] if earlier else [])]
        await self.store.keep([Note(NOTES, f"{_DECISION}{one}|{other}", encoded({**told, "earlier": history}))])
        return await self._joined(people, await self._pairs(), operator)

    async def groups(self) -> dict[str, list[str]]:
        """Return the groups by their names."""
        for note in await self.store.notes(NOTES, _GROUPS[:-1], 1):
            if note.part == _GROUPS:
                found: dict[str, list[str]] = json.loads(note.value)
                return found
        return {}

    # work

    async def _people(self) -> list[Person]:
        """Return everybody who stands for himself: no record that gave way to another one."""
        found: list[Person] = []
        cursor = None
        while True:
            page = await self.store.search(Query("Patient", count=_PAGE, cursor=cursor), EVERYTHING)
            contents = [decode(version.content) for version in page.versions if version.content is not None]
            found += [person(content) for content in contents if successor("Patient", content) is None]
            cursor = page.next
            if cursor is None:
                return found

    async def _joined(self, people: Sequence[Person], pairs: Sequence[Pair], operator: Principal) -> dict[str, Any]:
        decided = await self._decisions()
        said = {key: told["same"] for key, told in decided.items()}
        yes, apart = ([_ids(key) for key, same in said.items() if same is wanted] for wanted in (True, False))
        sure = sorted((it for it in pairs if it.judged.verdict is Verdict.SAME), key=lambda it: (-it.score, it.key))
        automatic = [(it.one, it.other) for it in sure if said.get(it.key) is None]
        # What contradicts itself decisively is not brought together by way of a third, but by somebody's word.
        doubtful = [
            (it.one, it.other)
            for it in pairs
            if said.get(it.key) is None and any(reason.startswith("not ") for reason in it.judged.reasons)
        ]
        found, refused = clusters((it.id for it in people), automatic, doubtful, said=yes, apart=apart)
        before = await self.groups()
        named = _named(found, before)
        written = await self._linked(people, before, named, operator)
        await self.store.keep([Note(NOTES, _GROUPS, encoded(named))])
        by_id = {it.id: it for it in people}
        return {
            "people": len(people),
            "groups": len(named),
            "joined": sum(len(members) for members in named.values()),
            "review": sum(it.judged.verdict is Verdict.REVIEW and said.get(it.key) is None for it in pairs),
            "refused": len(refused),
            "changed": written,
            "contradictions": _contradicted(named, by_id),
        }

    async def _linked(
        self,
        people: Sequence[Person],
        before: Mapping[str, Sequence[str]],
        now: Mapping[str, Sequence[str]],
        operator: Principal,
    ) -> int:
        """Give each record the links of its group and take away those of a former one; return how many changed."""
        old, new = _others(before.values()), _others(now.values())
        changes: list[Change] = []
        for it in people:
            wanted, has = new.get(it.id, set()), set(it.linked)
            gone, come = (old.get(it.id, set()) - wanted) & has, wanted - has
            if gone or come:
                links = [{"other": {"reference": f"Patient/{other}"}, "type": "seealso"} for other in sorted(come)]
                resource: Resource = {"resourceType": "Patient", "id": it.id, **({"link": links} if links else {})}
                remove = frozenset(f"link[Patient/{other}]" for other in gone)
                union = frozenset({"link"})
                changes.append(Change(Method.MERGE, "Patient", it.id, resource, remove=remove, union=union))
        for start in range(0, len(changes), _TOGETHER):
            draft = provenance.draft(operator.subject, id=str(uuid.uuid4()), client=operator.client, operation="UPDATE")
            part = tuple(changes[start : start + _TOGETHER])
            await self.store.commit(Transaction(part, draft, operator.subject, self.clock()))
            self.committed()
        return len(changes)

    # notes

    async def _keep(self, pairs: Sequence[Pair]) -> None:
        """Write the pairs, and empty what is left of an earlier, longer list."""
        lists = [pairs[start : start + _PAGE] for start in range(0, len(pairs), _PAGE)]
        for number, part in enumerate(lists):
            value = {"pairs": [[it.one, it.other, it.score, it.judged.verdict, it.judged.reasons] for it in part]}
            await self.store.keep([Note(NOTES, f"{_PAIRS}{number:09d}", encoded(value))])
        after = f"{_PAIRS}{len(lists) - 1:09d}" if lists else _PAIRS
        left = [note for note in await self._notes(_PAIRS) if note.part > after]
        await self.store.keep([Note(NOTES, note.part, encoded({"pairs": []})) for note in left])

    async def _pairs(self) -> list[Pair]:
        return [
            Pair(one, other, score, Judged(Verdict(verdict), tuple(reasons)))
            for note in await self._notes(_PAIRS)
            for one, other, score, verdict, reasons in json.loads(note.value)["pairs"]
        ]

    async def _decisions(self) -> dict[str, dict[str, Any]]:
        notes = await self._notes(_DECISION)
        return {note.part.removeprefix(_DECISION): json.loads(note.value) for note in notes}

    async def _notes(self, prefix: str) -> list[Note]:
        found: list[Note] = []
        after = prefix
        while page := await self.store.notes(NOTES, after, _PAGE):
            mine = [note for note in page if note.part.startswith(prefix)]
            found += mine
            if len(mine) < len(page):
                break
            after = page[-1].part
        return found

    async def _record(self, operator: Principal, one: str, other: str) -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction="link",
            target=f"Patient/{one}",
            patients=(one, other),
            permit=True,
            reasons=("operator",),
        )
        await self.store.record([access])


def paired(people: Sequence[Person]) -> list[Pair]:
    """Return the pairs that are one person or may be, by id. Raises ConfigError without the extra."""
    by_id, names = {it.id: it for it in people}, Names(people)
    if len(people) < 2:
        return []
    found = [
        Pair(one, other, score, judged(by_id[one], by_id[other], score, names))
        for one, other, score in scored(people, REVIEW)
    ]
    return sorted((it for it in found if it.judged.verdict is not Verdict.NOTHING), key=lambda it: it.key)


def _named(groups: Iterable[frozenset[str]], before: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Give groups names: the one that most of the members had, else one made of the least member."""
    had = {member: name for name, members in before.items() for member in members}
    taken: dict[str, list[str]] = {}
    for members in sorted(groups, key=lambda it: (-sum(member in had for member in it), min(it))):
        names = Counter(had[member] for member in sorted(members) if member in had)
        name = next((it for it, _ in names.most_common() if it not in taken), None)
        taken[name or str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:hawsepipe:group:{min(members)}"))] = sorted(members)
    return dict(sorted(taken.items()))


def _ids(key: str) -> tuple[str, str]:
    one, _, other = key.partition("|")
    return one, other


def _others(groups: Iterable[Sequence[str]]) -> dict[str, set[str]]:
    return {member: set(members) - {member} for members in groups for member in members}


def _contradicted(groups: Mapping[str, Sequence[str]], people: Mapping[str, Person]) -> list[dict[str, Any]]:
    """Return in which groups records contradict each other in birth date or sex: nobody chooses there."""
    found: list[dict[str, Any]] = []
    for name, members in groups.items():
        held = [people[member] for member in members if member in people]
        elements = [
            element
            for element, values in (("birthDate", {it.born for it in held}), ("gender", {it.sex for it in held}))
            if len(values - {None}) > 1
        ]
        if elements:
            found.append({"group": name, "patients": list(members), "elements": elements})
    return found
