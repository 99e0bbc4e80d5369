"""Query strings and forms to pairs (application/x-www-form-urlencoded), strictly."""

from __future__ import annotations

from urllib.parse import parse_qsl

from hawsepipe.errors import InvalidRequest

_MOST = 1_000


def pairs(data: bytes) -> list[tuple[str, str]]:
    """Return name and value of each field, in order. Raises InvalidRequest for what is not UTF-8, too many fields or a
    control character.
    """
    try:
        found = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST)
    except ValueError as error:
        raise InvalidRequest("the parameters are not UTF-8 in percent encoding, or too many") from error
    if any(
        ord(character) < 0x20 and character not in "\t\r\n" for pair in found for part in pair for character in part
    ):
        raise InvalidRequest("a parameter holds a control character")
    return found
