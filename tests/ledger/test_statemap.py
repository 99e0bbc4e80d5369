"""The current-state map: one root for one content, a way for every place, and no way that says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.errors import VerificationError
from hawsepipe.ledger import merkle, statemap
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.publisher import LedgerState
from hawsepipe.meters import Meters
from hawsepipe.store.contract import Store
from hawsepipe.store.sequencing import Sequenced, place_of

# Places that share long beginnings as well as places of chance: a map must take what somebody has searched for.
PLACES = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(
        lambda common, rest: (bytes([0xA5]) * common + rest)[:32].ljust(32, b"\0"),
        st.integers(0, 31),
        st.binary(min_size=1, max_size=2),
    ),
)
MAPS = st.dictionaries(PLACES, st.binary(min_size=32, max_size=32), max_size=40)


def reference(leaves: dict[bytes, bytes], depth: int = 0) -> bytes:
    """Return the root by the definition."""
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        ((place, value),) = leaves.items()
        return sha256(b"\x02" + place + value).digest()
    sides: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for place, value in leaves.items():
        sides[place[depth // 8] >> (7 - depth % 8) & 1][place] = value
    return sha256(b"\x03" + reference(sides[0], depth + 1) + reference(sides[1], depth + 1)).digest()


@given(MAPS, st.lists(st.integers(0, 40), max_size=4))
def test_the_root_depends_on_what_is_in_it_alone(leaves: dict[bytes, bytes], cuts: list[int]) -> None:
    pages: dict[str, bytes] = {}
    items = list(leaves.items())
    edges = [0, *sorted(cuts), len(items)]
    for begin, end in pairwise(edges):
        # Each place has had another value before.
        pages.update(statemap.grown(pages, {place: bytes(32) for place, _ in items[begin:end]})[1])
        root, changed = statemap.grown(pages, dict(items[begin:end]))
        pages.update(changed)
        assert statemap.root(pages) == root
    assert statemap.root(pages) == reference(leaves)


@given(MAPS, PLACES)
def test_every_place_has_a_way_to_the_root_and_another_value_has_not(leaves: dict[bytes, bytes], other: bytes) -> None:
    root, pages = statemap.grown({}, leaves)
    for place in (*leaves, other):
        way = statemap.way(pages, place)
        assert statemap.root_by(way, place) == root
        if place in leaves:
            assert way.end == (place, leaves[place])
            assert statemap.root_by(replace(way, end=(place, sha256(leaves[place]).digest())), place) != root
            assert statemap.root_by(replace(way, end=None), place) != root
        else:
            assert way.end is None or way.end[0] != place


def test_pages_that_do_not_fit_each_other_are_refused() -> None:
    leaves = {sha256(b"%d" % number).digest(): bytes(32) for number in range(400)}
    _, pages = statemap.grown({}, leaves)
    place = next(iter(leaves))
    path = place.hex()[:1]
    for other in ({**pages, path: pages[place.hex()[1:2] + "" if place.hex()[1] != path else "0"]}, {"": pages[""]}):
        with pytest.raises(VerificationError, match="STATE_INVALID"):
            statemap.grown(other, {place: bytes(32)})
    with pytest.raises(VerificationError, match="STATE_INVALID"):
        statemap.way({"": pages[""]}, place)


# -- in step with the log ----------------------------------------------------------------------------------------------

Stores = Callable[[Path], AbstractAsyncContextManager[Store]]
DOWN = """
DROP TABLE sealed; DROP TABLE spot; ALTER TABLE state DROP COLUMN charted; ALTER TABLE leaf DROP COLUMN version;
PRAGMA user_version = 13;
"""


def patient(number: int) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Åkesson"}]}


async def test_the_map_of_an_older_store_is_made_before_its_next_batch(
    stores: Stores, tmp_path: Path, signer: Signer, channel: str, wall: Any, write: Any
) -> None:
    made = []
    async with stores(tmp_path / "store") as store:
        anchorer = Anchorer(store, {}, signer, channel, wall, Meters())
        for number in range(7):
            made += await write(store, patient(number))
        made += await write(store, patient(3) | {"active": True})
        assert await anchorer.once() is True
    database = apsw.Connection(str(tmp_path / "store" / "store.db"))
    # As an older program would have left it: all in the log, without a state leaf.
    last = int(str(database.execute("SELECT max(sequence) FROM leaf").get))
    database.execute("DELETE FROM node; DELETE FROM checkpoint; UPDATE state SET log_size = 0")
    database.execute(DOWN)
    database.close()
    async with stores(tmp_path / "store") as store:
        frontier = merkle.Frontier()
        anchors = tuple(await store.outbox(100))
        assert len(anchors) == last
        nodes = [node for one in anchors for node in frontier.append(merkle.leaf_hash(one.digest))]
        await store.sequence(Sequenced(0, anchors, tuple(nodes), signer.checkpoint(last, frontier.root())))
        anchorer = Anchorer(store, {}, signer, channel, wall, Meters(), batch=3)
        made += await write(store, patient(9))
        assert await anchorer.once() is True
        assert anchorer.state is LedgerState.GOOD
        leaf = await store.state_leaf(last + 3)
        assert leaf is not None
        latest = {place_of(one.type, one.id): one.commitment for one in sorted(made, key=lambda it: it.version)}
        assert leaf.root == statemap.grown({}, latest)[0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE spot SET page = zeroblob(length(page)) WHERE path = ''",
        "UPDATE spot SET page = CAST(substr(page, 1, 3) AS BLOB) WHERE length(path) = 1",
        "DELETE FROM spot",
        "UPDATE sealed SET root = zeroblob(32)",
    ],
)
async def test_a_map_that_is_not_what_was_sealed_stops_the_log(
    statement: str, stores: Stores, tmp_path: Path, signer: Signer, channel: str, wall: Any, write: Any
) -> None:
    async with stores(tmp_path / "store") as store:
        await write(store, *(patient(number) for number in range(40)))
        assert await Anchorer(store, {}, signer, channel, wall, Meters()).once() is True
        database = apsw.Connection(str(tmp_path / "store" / "store.db"))
        database.execute(statement)
        database.close()
        await write(store, patient(41))
        anchorer = Anchorer(store, {}, signer, channel, wall, Meters())
        assert await anchorer.once() is False
        assert anchorer.state is LedgerState.BROKEN
