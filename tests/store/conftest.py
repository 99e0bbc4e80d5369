"""Opens stores with a deterministic sealer and labeller of our own Protocols; what resources are found by comes from
the test's `book`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from hawsepipe.fhir.index import Row, TokenRow
from hawsepipe.meters import Meters
from hawsepipe.model import Draft, Issue, Resource, Seal, Severity
from hawsepipe.store import postgres
from hawsepipe.store.contract import Store
from hawsepipe.store.postgres import Database
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import Facets

OPENERS = ["open_at", "open_in_postgres"]
"""The fixtures that open a store, one for each implementation; the contract suite runs with each."""

SINCE_13 = """
DROP TABLE part; DROP TABLE content;
DROP TABLE sealed; DROP TABLE spot; ALTER TABLE state DROP COLUMN charted; ALTER TABLE leaf DROP COLUMN version;
"""
"""What undoes the step of the tables after version 13: begin with it."""

SINCE_8 = (
    SINCE_13
    + """
INSERT INTO facet SELECT r.key, c.kind, c.value FROM resource r JOIN common_facet c ON c.common = r.common;
DROP TABLE common; DROP TABLE common_facet; ALTER TABLE resource DROP COLUMN common;
"""
)
"""What undoes the steps of the tables after version 8 that cannot be done twice."""

SINCE_3 = (
    SINCE_8
    + """
DROP INDEX journal_received; DROP INDEX journal_held; DROP TABLE lane; DROP TABLE cipher;
DROP INDEX journal_control; DROP INDEX journal_time; DROP TABLE concern;
ALTER TABLE journal DROP COLUMN forced; ALTER TABLE journal DROP COLUMN sealed; ALTER TABLE journal DROP COLUMN leaf;
CREATE INDEX journal_received ON journal (sequence) WHERE state = 'received';
"""
)
"""What undoes the steps of the tables after version 3."""

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

Book = dict[str, tuple[Sequence[Row], Facets]]
Opener = Callable[..., AbstractAsyncContextManager[Store]]


class CountingSealer:
    """Seals with salts made by counting; the opening names the source so that tests can see it arrive."""

    def __init__(self) -> None:
        self._count = 0

    def seal(
        self, drafts: Sequence[Draft], provenance: Draft | None, source: bytes | None, rules: bytes | None
    ) -> tuple[tuple[Seal, ...], Seal | None]:
        whole = None if provenance is None else self._seal(provenance, source, rules)
        return tuple(self._seal(draft, source, rules) for draft in drafts), whole

    def _seal(self, draft: Draft, source: bytes | None, rules: bytes | None) -> Seal:
        self._count += 1
        salt = sha256(b"salt %d" % self._count).digest()
        opening = json.dumps(
            {
                "type": draft.type,
                "id": draft.id,
                "version": draft.version,
                "previous": draft.previous.hex() if draft.previous else None,
                "source": source.hex() if source else None,
                "rules": rules.hex() if rules else None,
            }
        ).encode()
        return Seal(sha256(salt + opening).digest(), opening, salt)


class BookLabeller:
    """Adds one label that is never lowered; facets come from the book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def label(self, resource: Resource, before: Resource | None) -> Resource:
        if not resource.get("restricted") and not (before or {}).get("meta", {}).get("security"):
            return resource
        return {**resource, "meta": {**resource.get("meta", {}), "security": [{"code": "R"}]}}

    def facets(self, resource: Resource) -> Facets:
        return self._book[resource["id"]][1] if resource["id"] in self._book else Facets()


class BookExtractor:
    """Rows come from the book; what is not in it can be found by its identifiers."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def rows(self, resource: Resource) -> Sequence[Row]:
        if resource["id"] in self._book:
            return self._book[resource["id"]][0]
        return [
            TokenRow("identifier", item.get("system", ""), item["value"]) for item in resource.get("identifier", [])
        ]


class KeyValidator:
    """Finds fault with resources that have an element called `fault`, and warns of one called `odd`."""

    def check(self, resource: Resource) -> Sequence[Issue]:
        found = {"fault": Severity.ERROR, "odd": Severity.WARNING}
        return [
            Issue(severity, "structure", f"{resource['resourceType']}.{name}", "not an element")
            for name, severity in found.items()
            if name in resource
        ]


@pytest.fixture
def book() -> Book:
    """What resources are found by, by id; filled by the test."""
    return {}


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """A clock that goes on by a millisecond at each look."""
    ticks: Iterator[datetime] = (START + timedelta(milliseconds=number) for number in range(10**9))
    return lambda: next(ticks)


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def open_at(book: Book, clock: Callable[[], datetime], meters: Meters) -> Opener:
    """Opens a store in a directory; the same directory again is the same store."""
    sealer = CountingSealer()

    def opened(path: Path, **options: object) -> AbstractAsyncContextManager[Store]:
        return open_store(
            path,
            sealer=sealer,
            labeller=BookLabeller(book),
            extractor=BookExtractor(book),
            validator=KeyValidator(),
            clock=clock,
            meters=meters,
            **options,  # type: ignore[arg-type]  # readers and vfs, as open_store types them
        )

    return opened


@pytest.fixture
def open_in_postgres(
    book: Book, clock: Callable[[], datetime], meters: Meters, database_at: Callable[[Path], Database]
) -> Opener:
    """Opens a store in a PostgreSQL schema of the path."""
    sealer = CountingSealer()

    def opened(path: Path, **options: object) -> AbstractAsyncContextManager[Store]:
        return postgres.open_store(
            database_at(path),
            sealer=sealer,
            labeller=BookLabeller(book),
            extractor=BookExtractor(book),
            validator=KeyValidator(),
            clock=clock,
            meters=meters,
            **options,  # type: ignore[arg-type]  # as open_store types them
        )

    return opened


@pytest.fixture(params=OPENERS)
def opener(request: pytest.FixtureRequest) -> Opener:
    found: Opener = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def store(opener: Opener, tmp_path: Path) -> AsyncIterator[Store]:
    async with opener(tmp_path / "store") as opened:
        yield opened
