"""Elements that are one day or one instant: what such an element gives differs from another's in that alone."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.index import Grouped
from hawsepipe.store.wholes import Element

_FORM: Final = re.compile(
    rb'"((?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])'
    rb'(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](Z|[+-][0-9]{2}:[0-9]{2}))?)"'
)
"""What is right as one day or second where another of the same zone is, if the calendar has it."""

_DATES: Final = Grouped._fields.index("dates")


class Moment(NamedTuple):
    """A day (without a zone) or a second, and the interval that it is."""

    text: str
    zone: bytes | None
    low: int
    high: int


def moment(written: bytes) -> Moment | None:
    """Return what an element is by its JSON, None if it is not one day or second of the calendar."""
    match = _FORM.fullmatch(written)
    if match is None:
        return None
    text = match[1].decode()
    try:
        return Moment(text, match[2], *interval(text))
    except ValueError:
        return None


def alike(element: Element, name: str, one: Moment) -> bool:
    """Say whether all that an element of a resource gives is its moment: it is found by it, and by nothing else."""
    written = b'"%s":"%s"' % (name.encode(), one.text.encode())
    return (
        element.written == element.canonical == written
        and all(place == _DATES and row[1:] == (one.low, one.high) for place, some in element.rows for row in some)
        and not element.patients
        and bool(element.plain)
    )


def at(element: Element, name: str, one: Moment, traits: Any) -> Element:
    """Return an element that is alike, of another moment, which has these traits."""
    written = b'"%s":"%s"' % (name.encode(), one.text.encode())
    return Element(
        written=written,
        canonical=written,
        rows=tuple([(place, tuple([(row[0], one.low, one.high) for row in some])) for place, some in element.rows]),
        existing=element.existing,
        traits=traits,
        patients=(),
        plain=True,
        right=element.single,
        single=element.single,
    )
