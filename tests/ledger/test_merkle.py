from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe import VerificationError
from hawsepipe.ledger import merkle

# The eight leaves and the roots of their trees that implementations of RFC 6962 share as test vectors.
LEAVES = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243")] + [
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

Nodes = dict[merkle.Coordinate, bytes]


def grown(datas: list[bytes]) -> tuple[merkle.Frontier, Nodes]:
    """Return a tree of these leaves with all of its complete subtrees."""
    frontier, nodes = merkle.Frontier(), {}
    for index, data in enumerate(datas):
        nodes[0, index] = merkle.leaf_hash(data)
        nodes.update(frontier.append(nodes[0, index]))
    return frontier, nodes


# RFC 6962 section 2.1, word for word, over leaf data.


def naive_root(datas: list[bytes]) -> bytes:
    if not datas:
        return sha256(b"").digest()
    if len(datas) == 1:
        return sha256(b"\x00" + datas[0]).digest()
    split = largest_power_below(len(datas))
    return sha256(b"\x01" + naive_root(datas[:split]) + naive_root(datas[split:])).digest()


def naive_path(index: int, datas: list[bytes]) -> list[bytes]:
    if len(datas) == 1:
        return []
    split = largest_power_below(len(datas))
    if index < split:
        return [*naive_path(index, datas[:split]), naive_root(datas[split:])]
    return [*naive_path(index - split, datas[split:]), naive_root(datas[:split])]


def naive_proof(first: int, datas: list[bytes], whole: bool = True) -> list[bytes]:
    if first == len(datas):
        return [] if whole else [naive_root(datas)]
    split = largest_power_below(len(datas))
    if first <= split:
        return [*naive_proof(first, datas[:split], whole), naive_root(datas[split:])]
    return [*naive_proof(first - split, datas[split:], False), naive_root(datas[:split])]


def largest_power_below(width: int) -> int:
    power = 1
    while power * 2 < width:
        power *= 2
    return power


def test_the_roots_are_those_of_the_published_vectors() -> None:
    for size in range(1, 9):
        assert grown(LEAVES[:size])[0].root().hex() == ROOTS[size - 1]
    assert merkle.Frontier().root() == merkle.EMPTY_ROOT


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_an_appended_tree_has_the_root_of_the_recursive_definition(datas: list[bytes]) -> None:
    frontier, nodes = grown(datas)
    assert frontier.root() == naive_root(datas)
    assert merkle.root_of(len(datas), nodes) == naive_root(datas)
    assert len(nodes) == sum(len(datas) >> level for level in range(8))


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_a_frontier_taken_up_again_grows_the_same_tree(datas: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(datas)))
    _, nodes = grown(datas[:cut])
    again = merkle.Frontier(cut, [nodes[place] for place in merkle.peaks(cut)])
    for item in datas[cut:]:
        again.append(merkle.leaf_hash(item))
    assert again.root() == naive_root(datas)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_inclusion_proofs_are_those_of_the_definition_and_verify(datas: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(datas) - 1))
    _, nodes = grown(datas)
    spans = merkle.inclusion_spans(index, len(datas))
    path = merkle.proof(spans, {place: nodes[place] for place in merkle.needed(spans)})
    assert list(path) == naive_path(index, datas)
    root = merkle.root_of_inclusion(merkle.leaf_hash(datas[index]), index, len(datas), path)
    assert root == naive_root(datas)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70, unique=True), st.data())
def test_a_changed_inclusion_proof_does_not_lead_to_the_root(datas: list[bytes], data: st.DataObject) -> None:
    size = len(datas)
    index = data.draw(st.integers(0, size - 1))
    _, nodes = grown(datas)
    path = list(merkle.proof(merkle.inclusion_spans(index, size), nodes))
    leaf = merkle.leaf_hash(datas[index])
    wrong = [(merkle.node_hash(leaf, leaf), index, path), (leaf, index, [*path, leaf]), (leaf, size, path)]
    if path:
        place = data.draw(st.integers(0, len(path) - 1))
        wrong += [(leaf, index, path[:place] + path[place + 1 :])]
        wrong += [(leaf, index, [*path[:place], bytes(32), *path[place + 1 :]])]
        wrong += [(leaf, index ^ 1, path)]
    for told, place, hashes in wrong:
        try:
            root = merkle.root_of_inclusion(told, place, size, hashes)
        except VerificationError:
            continue
        assert root != naive_root(datas)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_consistency_proofs_are_those_of_the_definition_and_verify(datas: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(datas)))
    _, nodes = grown(datas)
    spans = merkle.consistency_spans(first, len(datas))
    path = merkle.proof(spans, {place: nodes[place] for place in merkle.needed(spans)})
    assert list(path) == naive_proof(first, datas)
    merkle.check_consistency(first, naive_root(datas[:first]), len(datas), naive_root(datas), path)


@given(st.lists(st.binary(max_size=4), min_size=2, max_size=70), st.data())
def test_a_rewritten_history_has_no_consistency_proof(datas: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(datas)))
    changed = data.draw(st.integers(0, first - 1))
    other = [*datas[:changed], datas[changed] + b"x", *datas[changed + 1 :]]
    _, nodes = grown(other)
    path = merkle.proof(merkle.consistency_spans(first, len(datas)), nodes)
    for hashes in (path, (*path, bytes(32)), path[1:], ()):
        with pytest.raises(VerificationError, match="CONSISTENCY_INVALID"):
            merkle.check_consistency(first, naive_root(datas[:first]), len(datas), naive_root(other), hashes)


def test_a_tree_does_not_shrink() -> None:
    with pytest.raises(VerificationError, match="CONSISTENCY_INVALID"):
        merkle.check_consistency(3, bytes(32), 2, bytes(32), [])
