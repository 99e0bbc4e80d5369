"""What a load keeps of itself in the store, as notes: what was asked, its plan, a note for each chunk, its end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hawsepipe.store.loads import Loads, Note

REQUEST: Final = "request"
PLAN: Final = "plan"
END: Final = "end"
WITHDRAWAL: Final = "withdrawal"
_CHUNK: Final = "chunk/"
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that was not loaded: where it stands, the digest of its bytes (hex), and why. No patient data, but the
    name of its file.
    """

    source: str
    type: str
    label: str
    line: int
    digest: str
    cause: str
    location: str
    text: str

    @property
    def place(self) -> str:
        """`file:line:digest`."""
        return f"{self.label}:{self.line}:{self.digest}"


@dataclass(slots=True)
class Tally:
    """What became of records: by (source, type) how many were loaded, duplicate and dead; dead ones by cause."""

    counts: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    causes: Counter[str] = field(default_factory=Counter)
    versions: int = 0

    def add(self, source: str, type_: str, what: int, count: int = 1) -> None:
        """Count records; `what` is 0 for loaded, 1 for duplicate, 2 for dead."""
        self.counts.setdefault((source, type_), [0, 0, 0])[what] += count

    def join(self, other: Tally) -> None:
        """Count what another one has counted."""
        for (source, type_), numbers in other.counts.items():
            for what, count in enumerate(numbers):
                self.add(source, type_, what, count)
        self.causes.update(other.causes)
        self.versions += other.versions

    @property
    def totals(self) -> tuple[int, int, int]:
        """How many records were loaded, duplicate and dead."""
        loaded, duplicate, dead = (sum(numbers[what] for numbers in self.counts.values()) for what in range(3))
        return loaded, duplicate, dead

    def lines(self) -> list[list[Any]]:
        """Return source, type and the three numbers, sorted."""
        return [[source, type_, *numbers] for (source, type_), numbers in sorted(self.counts.items())]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is noted of a chunk: its number, what became of its records, the failures, the root over its records, when
    it was written (ISO 8601), and which records it had as (document, first offset, end).
    """

    number: int
    tally: Tally
    failures: tuple[Failure, ...]
    root: str
    at: str
    ranges: Sequence[Sequence[int]] = ()

    def note(self, load: str) -> Note:
        """Return it as a note."""
        value = {
            "counts": self.tally.lines(),
            "versions": self.tally.versions,
            "failures": [
                [it.source, it.type, it.label, it.line, it.digest, it.cause, it.location, it.text]
                for it in self.failures
            ],
            "root": self.root,
            "at": self.at,
            "ranges": [list(one) for one in self.ranges],
        }
        return Note(load, f"{_CHUNK}{self.number:012d}", encoded(value))

    @classmethod
    def of(cls, note: Note) -> Chunk:
        """Return what a note holds."""
        value = json.loads(note.value)
        failures = tuple(Failure(*one) for one in value["failures"])
        tally = Tally(
            {(source, type_): numbers for source, type_, *numbers in value["counts"]},
            Counter(failure.cause for failure in failures),
            value["versions"],
        )
        number = int(note.part.removeprefix(_CHUNK))
        return cls(number, tally, failures, value["root"], value["at"], value["ranges"])


def encoded(value: Mapping[str, Any]) -> bytes:
    """Return JSON as notes hold it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


async def chunks(store: Loads, load: str) -> AsyncIterator[Chunk]:
    """Yield what is noted of each chunk that was written, in order."""
    after = _CHUNK
    while page := await store.notes(load, after, _PAGE):
        for note in page:
            if not note.part.startswith(_CHUNK):
                return
            yield Chunk.of(note)
        after = page[-1].part


async def noted(store: Loads, load: str, part: str) -> dict[str, Any] | None:
    """Return one of the other notes of a load."""
    # Whatever has a name between the part without its last letter and the part itself comes first.
    for note in await store.notes(load, part[:-1], _PAGE):
        if note.part == part:
            found: dict[str, Any] = json.loads(note.value)
            return found
    return None


def ranges(places: Iterable[tuple[int, int, int]]) -> list[list[int]]:
    """Join (document, offset, length) that follow each other to (document, first offset, end)."""
    found: list[list[int]] = []
    for document, offset, length in places:
        if found and found[-1][0] == document and found[-1][2] <= offset:
            found[-1][2] = offset + length
        else:
            found.append([document, offset, offset + length])
    return found
