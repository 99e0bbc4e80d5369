"""The RFC 6962 tree: hashes, growth, and proofs with their verification. Pure.

The tree is kept as the hashes of its complete subtrees, by (level, index): level 0 are the leaf hashes, and the node
(l, i) covers the leaves i·2^l up to (i+1)·2^l. A complete subtree never changes again, so growing only adds.
Whatever a proof needs, the ragged right edge included, is folded from complete subtrees.
Specification: RFC 6962 section 2.1 (hashes, proofs), RFC 9162 sections 2.1.3.2 and 2.1.4.2 (verification).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from hawsepipe.errors import VerificationError

Coordinate = tuple[int, int]
"""(level, index) of a complete subtree."""

Span = tuple[int, int]
"""The leaves [begin, end) under one hash of a proof."""

EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves (RFC 6962 section 2.1)."""

_INCLUSION_STEP = 5
_CONSISTENCY_STEP = 10


def leaf_hash(data: bytes) -> bytes:
    """Return SHA-256(0x00 || data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


def cover(begin: int, end: int) -> tuple[Coordinate, ...]:
    """Return the complete subtrees that make up the leaves [begin, end), left to right.

    `begin` must be a multiple of the largest power of two that is not above `end - begin`, as in every span of a proof.
    """
    found = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        found.append((level, begin >> level))
        begin += 1 << level
    return tuple(found)


def peaks(size: int) -> tuple[Coordinate, ...]:
    """Return the complete subtrees of a whole tree of this size, left to right."""
    return cover(0, size)


class Frontier:
    """The right edge of a growing tree: all that appending needs. `hashes` are those of `peaks(size)`."""

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        self._size = size
        self._peaks = [(level, value) for (level, _), value in zip(peaks(size), hashes, strict=True)]

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    def append(self, leaf: bytes) -> tuple[tuple[Coordinate, bytes], ...]:
        """Append a leaf hash and return the inner nodes (level 1 and up) that it completes, lowest first."""
        completed = []
        level, value = 0, leaf
        while self._peaks and self._peaks[-1][0] == level:
            value = node_hash(self._peaks.pop()[1], value)
            level += 1
            completed.append(((level, self._size >> level), value))
        self._peaks.append((level, value))
        self._size += 1
        return tuple(completed)

    def root(self) -> bytes:
        """Return the tree's root."""
        return _folded([value for _, value in self._peaks])


def root_of(size: int, nodes: Mapping[Coordinate, bytes]) -> bytes:
    """Return the root of a tree from the hashes of its `peaks`. Raises KeyError when one is missing."""
    return _folded([nodes[place] for place in peaks(size)])


def inclusion_spans(index: int, size: int) -> tuple[Span, ...]:
    """Return what each hash of an inclusion proof covers, bottom up (RFC 6962 section 2.1.1, PATH)."""
    if not 0 <= index < size:
        raise ValueError("the index is outside the tree")
    found: list[Span] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((begin, middle))
            begin = middle
    return tuple(reversed(found))


def consistency_spans(first: int, second: int) -> tuple[Span, ...]:
    """Return what each hash of a consistency proof covers (RFC 6962 section 2.1.2, PROOF), for 0 < first <= second."""
    if not 0 < first <= second:
        raise ValueError("a tree only grows, from at least one leaf")
    found: list[Span] = []
    begin, end, whole = 0, second, True
    while first != end:
        middle = begin + _split(end - begin)
        if first <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((begin, middle))
            begin, whole = middle, False
    if not whole:
        found.append((begin, end))
    return tuple(reversed(found))


def needed(spans: Iterable[Span]) -> tuple[Coordinate, ...]:
    """Return the complete subtrees whose hashes make a proof of these spans."""
    return tuple(place for begin, end in spans for place in cover(begin, end))


def proof(spans: Iterable[Span], nodes: Mapping[Coordinate, bytes]) -> tuple[bytes, ...]:
    """Return the hashes of a proof. Raises KeyError when a node of `needed(spans)` is missing."""
    return tuple(_folded([nodes[place] for place in cover(begin, end)]) for begin, end in spans)


def root_of_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162 section 2.1.3.2).

    The size is not bound by the path: compare the result with a root that was signed together with this very size.
    Raises VerificationError (INCLUSION_INVALID) for a path that no tree of this size has.
    """
    if not 0 <= index < size:
        raise VerificationError("INCLUSION_INVALID", _INCLUSION_STEP, "the index is outside the tree")
    place, last, value = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise VerificationError("INCLUSION_INVALID", _INCLUSION_STEP, "the path is too long")
        if place & 1 or place == last:
            value = node_hash(sibling, value)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise VerificationError("INCLUSION_INVALID", _INCLUSION_STEP, "the path is too short")
    return value


def check_consistency(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> None:
    """Return if the tree of size `second` continues that of size `first` (RFC 9162 section 2.1.4.2).

    Raises VerificationError (CONSISTENCY_INVALID).
    """
    if not 0 < first <= second:
        raise _inconsistent("a tree only grows, from at least one leaf")
    if first == second:
        if path or first_root != second_root:
            raise _inconsistent("two roots of one size")
        return
    hashes = list(path)
    if first & (first - 1) == 0:
        hashes.insert(0, first_root)
    if not hashes:
        raise _inconsistent("the proof is empty")
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for value in hashes[1:]:
        if last == 0:
            raise _inconsistent("the proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(value, old), node_hash(value, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, value)
        place, last = place >> 1, last >> 1
    if last or old != first_root or new != second_root:
        raise _inconsistent("the proof does not join the two roots")


def _inconsistent(reason: str) -> VerificationError:
    return VerificationError("CONSISTENCY_INVALID", _CONSISTENCY_STEP, reason)


def _split(width: int) -> int:
    """Return the largest power of two below `width`."""
    return 1 << ((width - 1).bit_length() - 1)


def _folded(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return EMPTY_ROOT
    value = hashes[-1]
    for left in reversed(hashes[:-1]):
        value = node_hash(left, value)
    return value
