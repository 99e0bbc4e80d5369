"""Tiles: their paths, and that the log's root comes out of them."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.ledger import merkle, tiles


def test_paths_are_those_of_the_specification() -> None:
    # https://c2sp.org/tlog-tiles: "1234067" is x001/x234/067.
    assert tiles.path(0, 1234067) == "0/x001/x234/067"
    assert tiles.path(0, 1234067, 112) == "0/x001/x234/067.p/112"
    assert tiles.path(2, 0) == "2/000"
    assert tiles.path(1, 1000) == "1/x001/000"


@given(st.integers(0, 7), st.integers(0, 10**12), st.integers(1, 256))
def test_each_tile_has_one_path(level: int, number: int, width: int) -> None:
    assert tiles.parsed(tiles.path(level, number, width)) == (level, number, width)


@pytest.mark.parametrize(
    "text",
    ["", "0", "0/0", "0/1000", "00/000", "8/000", "0/x000/001", "0/000.p/256", "0/000.p/0", "0/000.p/01", "0/000/",
     "-1/000", "0/001/002", "0/x001", "entries/000", "0/000.p", "0/٠٠٠", "0/" + "x001/" * 40 + "000"],
)  # fmt: skip
def test_what_is_no_tile_is_none(text: str) -> None:
    assert tiles.parsed(text) is None


def test_the_root_comes_out_of_the_tiles() -> None:
    size = 256 * 3 + 17
    frontier, nodes = merkle.Frontier(), dict[merkle.Coordinate, bytes]()
    for index in range(size):
        leaf = merkle.leaf_hash(sha256(b"%d" % index).digest())
        nodes[0, index] = leaf
        nodes.update(frontier.append(leaf))
    read: dict[merkle.Coordinate, bytes] = {}
    for level, count in ((0, size), (1, size >> 8)):
        for number in range(-(-count // 256)):
            width = min(256, count - number * 256)
            places = tiles.places(level, number, width, size)
            assert places is not None
            read |= {place: nodes[place] for place in places}
    for place in (place for place in merkle.peaks(size) if place not in read):
        level, index = place  # what lies between the levels of tiles is folded from the one below
        below = [read[level - level % 8, (index << level % 8) + step] for step in range(1 << level % 8)]
        while len(below) > 1:
            below = [merkle.node_hash(*below[at : at + 2]) for at in range(0, len(below), 2)]
        read[place] = below[0]
    assert merkle.root_of(size, read) == frontier.root()
    assert tiles.places(0, 3, 18, size) is None
    assert tiles.places(1, 0, 4, size) is None
