"""The current-state map: a sparse Merkle tree from the place of a resource to its latest commitment. Pure.

    place = SHA-256("Type/id")    leaf = SHA-256(0x02 || place || value)    inner = SHA-256(0x03 || left || right)

The bits of a place, highest first, lead from the root to its leaf; a leaf stands where it is alone, so that a way has
about as many steps as the number of resources has bits. Nothing is 32 zero bytes. A deleted resource keeps its place:
the value is the delete's own commitment, because a value that can be guessed would tell places apart.

The tree is kept in pages of four levels, by the hex digits of the places below them ("" is the root's). A page has up
to sixteen slots: a leaf, or the hash of the page below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby

from hawsepipe.errors import VerificationError

EMPTY = bytes(32)
"""The hash of a tree without leaves."""

_STEP = 11
_LEAF, _TREE = 0x10, 0x00
_HASH = 32

Leaf = tuple[bytes, bytes]
"""(place, value)"""

_Slots = dict[int, Leaf | bytes]
_Node = tuple[bytes, bool] | None  # a hash, and whether a leaf alone is below; None for nothing


def leaf_hash(leaf: Leaf) -> bytes:
    """Return SHA-256(0x02 || place || value)."""
    return sha256(b"\x02" + leaf[0] + leaf[1]).digest()


def inner_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x03 || left || right)."""
    return sha256(b"\x03" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a place: the hash beside it at each step, from the root down, and the leaf that it ends at, if any."""

    siblings: tuple[bytes, ...]
    end: Leaf | None


def grown(pages: Mapping[str, bytes], changes: Mapping[bytes, bytes]) -> tuple[bytes, dict[str, bytes]]:
    """Return the root and the pages that change when places get new values.

    `pages` are at least all those on the ways to the places. Raises VerificationError (STATE_INVALID) when they do not
    fit each other.
    """
    changed: dict[str, bytes] = {}

    def put(path: str, items: list[tuple[str, Leaf]], there: bytes | None) -> bytes:
        slots = _slots(pages.get(path, b"")) if there is not None else {}
        if there is not None and _top(slots) != there:
            raise _broken()
        depth = len(path)
        for digit, some in groupby(items, key=lambda item: item[0][depth]):
            group, number = list(some), int(digit, 16)
            held = slots.get(number)
            if isinstance(held, bytes):
                slots[number] = put(path + digit, group, held)
                continue
            if held is not None and all(leaf[0] != held[0] for _, leaf in group):
                group = sorted([*group, (held[0].hex(), held)])
            slots[number] = group[0][1] if len(group) == 1 else put(path + digit, group, None)
        changed[path] = b"".join(_encoded(number, slots[number]) for number in sorted(slots))
        return _top(slots)

    items = sorted((place.hex(), (place, value)) for place, value in changes.items())
    return put("", items, root(pages)), changed


def root(pages: Mapping[str, bytes]) -> bytes:
    """Return the root of the tree with these pages."""
    return _top(_slots(pages.get("", b"")))


def way(pages: Mapping[str, bytes], place: bytes) -> Way:
    """Return the way to a place. Raises VerificationError (STATE_INVALID) when a page of it is missing."""
    siblings: list[bytes] = []
    path, digits = "", place.hex()
    while True:
        slots = _slots(pages.get(path, b""))
        levels = _levels(slots)
        number = int(digits[len(path)], 16)
        for level, nodes in enumerate(reversed(levels)):
            at = number >> (4 - level)
            node = nodes[at]
            if node is None:
                return Way(tuple(siblings), None)
            if node[1]:
                width = 4 - level
                return Way(tuple(siblings), _only(slots[it] for it in slots if it >> width == at))
            if level < 4:
                beside = levels[3 - level][(number >> (3 - level)) ^ 1]
                siblings.append(EMPTY if beside is None else beside[0])
        path = digits[: len(path) + 1]
        if path not in pages:
            raise _broken()


def root_by(way: Way, place: bytes) -> bytes:
    """Return the root that a way from this place leads to."""
    value = EMPTY if way.end is None else leaf_hash(way.end)
    for depth in reversed(range(len(way.siblings))):
        beside = way.siblings[depth]
        value = inner_hash(beside, value) if place[depth // 8] >> (7 - depth % 8) & 1 else inner_hash(value, beside)
    return value


def _slots(page: bytes) -> _Slots:
    slots: _Slots = {}
    at = 0
    while at < len(page):
        mark = page[at]
        if mark & _LEAF:
            slots[mark & 15] = (page[at + 1 : at + 1 + _HASH], page[at + 1 + _HASH : at + 1 + 2 * _HASH])
            at += 1 + 2 * _HASH
        else:
            slots[mark & 15] = page[at + 1 : at + 1 + _HASH]
            at += 1 + _HASH
    return slots


def _encoded(number: int, slot: Leaf | bytes) -> bytes:
    return bytes([_TREE | number]) + slot if isinstance(slot, bytes) else bytes([_LEAF | number]) + slot[0] + slot[1]


def _levels(slots: _Slots) -> list[list[_Node]]:
    """Return the nodes of a page, the sixteen slots first and the one at the top last."""
    level: list[_Node] = [None] * 16
    for number, slot in slots.items():
        level[number] = (slot, False) if isinstance(slot, bytes) else (leaf_hash(slot), True)
    levels = [level]
    while len(level) > 1:
        level = [_joined(level[at], level[at + 1]) for at in range(0, len(level), 2)]
        levels.append(level)
    return levels


def _joined(left: _Node, right: _Node) -> _Node:
    if left is None and (right is None or right[1]):
        return right
    if right is None and left is not None and left[1]:
        return left
    return inner_hash(EMPTY if left is None else left[0], EMPTY if right is None else right[0]), False


def _top(slots: _Slots) -> bytes:
    node = _levels(slots)[-1][0]
    return EMPTY if node is None else node[0]


def _only(slots: Iterable[Leaf | bytes]) -> Leaf:
    found = list(slots)
    if len(found) != 1 or isinstance(found[0], bytes):
        raise _broken()
    return found[0]


def _broken() -> VerificationError:
    return VerificationError("STATE_INVALID", _STEP, "the pages of the current-state map do not fit each other")
