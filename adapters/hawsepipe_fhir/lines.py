"""The resources of a file: one as JSON, or one a line (NDJSON, as bulk exports write them). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hawsepipe import HawsepipeError, Piece, decode


def parts(chunks: Iterable[bytes]) -> Iterator[Piece]:
    """Yield the resources with their offsets. A file whose first line is a whole object has one a line."""
    held, offset = bytearray(), 0
    lined: bool | None = None
    for chunk in chunks:
        known = len(held)
        held += chunk
        while lined is not False and (end := held.find(b"\n", known)) >= 0:
            line, known = bytes(held[:end]), 0
            if line.strip():
                lined = lined or _whole(line)
                if not lined:
                    break
                yield Piece(offset, line)
            del held[: end + 1]
            offset += end + 1
    if held.strip():
        yield Piece(offset, bytes(held))


def _whole(line: bytes) -> bool:
    try:
        decode(line.strip().removeprefix(b"\xef\xbb\xbf"))
    except HawsepipeError:
        return False
    return True
