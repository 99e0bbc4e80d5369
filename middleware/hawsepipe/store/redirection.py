"""A transaction that speaks of resources under names that are others' by now, as it reads with the right names.

Ids stand in content as references and nowhere else, so they are replaced in its bytes: nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hawsepipe.fhir import codec
from hawsepipe.fhir.identity import KNOWN_AS
from hawsepipe.model import Resource
from hawsepipe.store.prepared import PreparedChange, PreparedTransaction, Told

Moves = Mapping[tuple[str, str], str]
"""What is another one's by now: (type, id) to the other's id."""


def redirected(transaction: PreparedTransaction, moves: Moves) -> PreparedTransaction:
    """Return the transaction about the resources that `moves` names; its Provenance tells which ones it named."""
    names = {f'"{type_}/{old}"'.encode(): f'"{type_}/{new}"'.encode() for (type_, old), new in moves.items()}
    # What is kept beside the resource is had by its address.
    names |= {f'"{type_}/{old}/$'.encode(): f'"{type_}/{new}/$'.encode() for (type_, old), new in moves.items()}
    trail = transaction.lines if transaction.story is None else transaction.story.lines
    lines: dict[str, str] = {}
    for reference, text in trail.items():
        type_, _, id_ = reference.partition("/")
        place = f"{type_}/{moves.get((type_, id_), id_)}"
        lines[place] = f"{lines[place]}\n{text}" if place in lines else text
    draft = transaction.draft
    return transaction._replace(
        changes=tuple(_change(change, moves, names) for change in transaction.changes),
        draft=None if draft is None else Told.of(_noted(codec.decode(_renamed(draft.written, names)), moves)),
        story=None,
        lines=lines,
        named=(),
    )


def _change(change: PreparedChange, moves: Moves, names: Mapping[bytes, bytes]) -> PreparedChange:
    method, content, remove, union, keep = change.effect
    written = _renamed(content, names)
    id_ = moves.get((change.type, change.id), change.id)
    parts = tuple(_renamed(f'"{part}"'.encode(), _inside(names)).decode()[1:-1] for part in remove)
    if written == content and id_ == change.id and parts == remove:
        return change
    # What was worked out beforehand is of another content.
    return change._replace(id=id_, effect=(method, written, parts, union, keep), first=None)


def _inside(names: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Return the names as they stand in `link[Patient/1]`."""
    return {b"[" + old[1:-1] + b"]": b"[" + new[1:-1] + b"]" for old, new in names.items() if old.endswith(b'"')}


def _renamed(content: bytes, names: Mapping[bytes, bytes]) -> bytes:
    for old, new in names.items():
        content = content.replace(old, new)
    return content


def _noted(draft: Resource, moves: Moves) -> Resource:
    told = [{"url": KNOWN_AS, "valueReference": {"reference": f"{type_}/{old}"}} for type_, old in moves]
    return draft | {"extension": [*draft.get("extension", ()), *told]}


def spoken_of(proof: Resource) -> Iterator[tuple[str, str]]:
    """Yield type and id of what a Provenance tells to have been named by its message (see `redirected`)."""
    items = proof.get("extension")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("url") == KNOWN_AS:
            reference = item.get("valueReference")
            literal = reference.get("reference") if isinstance(reference, dict) else None
            type_, _, id_ = literal.partition("/") if isinstance(literal, str) else ("", "", "")
            if type_ and id_:
                yield type_, id_
