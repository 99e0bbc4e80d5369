"""A strict check of a message against the definitions of its version: structure, fields, components, primitives.

For whoever wants to know how well a sender keeps the standard; most real messages break it somewhere, and are
translated all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from hawsepipe import Issue, Severity
from hawsepipe_hl7v2 import reference
from hawsepipe_hl7v2.message import DELETE, Message, Segment
from hawsepipe_hl7v2.reference import Definition

_ROUNDS = 50
"""Segments out of place that are told one by one."""
# HL7 table 0354, where MSH-9.3 is empty: events that share the structure of another.
_SHARED = {
    "A01": ("A04", "A08", "A13"),
    "A05": ("A14", "A28", "A31"),
    "A06": ("A07",),
    "A09": ("A10", "A11", "A12"),
    "A21": ("A22", "A23", "A25", "A26", "A27", "A29", "A32", "A33"),
    "A30": ("A34", "A35", "A36", "A46", "A47", "A48", "A49"),
    "A39": ("A40", "A41", "A42"),
    "A43": ("A44",),
    "A45": (),
    "A50": ("A51",),
    "T01": ("T03", "T05", "T07", "T09", "T11"),
    "T02": ("T04", "T06", "T08", "T10"),
    "S12": tuple(f"S{number}" for number in range(13, 27)),
}
_STRUCTURES = {event: first for first, events in _SHARED.items() for event in events}
_FORMATS = {
    "NM": re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)"),
    "SI": re.compile(r"[0-9]{1,4}"),
    "DT": re.compile(r"[0-9]{4}([0-9]{2}([0-9]{2})?)?"),
    "TM": re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,4})?)?)?([+-][0-9]{4})?"),
    "DTM": re.compile(r"[0-9]{4}([0-9]{2}([0-9]{2}([0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,4})?)?)?)?)?)?([+-][0-9]{4})?"),
}
_FORMATS["TS"] = _FORMATS["DTM"]


def check(message: Message) -> Iterator[Issue]:
    """Yield what breaks the standard of MSH-12, as issues of cause structure at error level."""
    version = message.version
    if version not in reference.VERSIONS:
        yield _issue("MSH-12", "there is no definition of this version")
        return
    yield from _structure(message, version)
    for segment in message.segments:
        yield from _segment(segment, version)


def _issue(location: str, text: str) -> Issue:
    return Issue(Severity.ERROR, "structure", location, text)


def _structure(message: Message, version: str) -> Iterator[Issue]:
    header = message.segments[0]
    names = (
        header.text(9, 3),
        f"{message.type}_{message.event}",
        f"{message.type}_{_STRUCTURES.get(message.event, '')}",
        message.type,
    )
    defined = next((found for name in names if name and (found := reference.message(version, name)) is not None), None)
    if defined is None:
        yield _issue("MSH-9", "this version defines no structure of the message")
        return
    # Segments of a site's own may stand anywhere.
    segments = [segment for segment in message.segments if not segment.name.startswith("Z")]
    for _ in range(_ROUNDS):
        missing: list[tuple[str, str]] = []
        at = _match(defined, segments, 0, missing)
        if at >= len(segments):
            yield from (_issue(location, text) for location, text in missing)
            return
        yield _issue(segments[at].label, "the structure does not expect this segment here")
        del segments[at]
    yield _issue("", "there are more segments that the structure does not expect")


def _match(group: Definition, segments: Sequence[Segment], at: int, missing: list[tuple[str, str]]) -> int:
    """Return the place after the segments that a group takes from `at` on."""
    if group.choice:
        for child in group.children:
            if at < len(segments) and segments[at].name in _firsts(child):
                return _take(child, segments, at, missing)
        missing.append(
            (_before(segments, at), f"one of {', '.join(child.name for child in group.children)} is missing")
        )
        return at
    for child in group.children:
        start, count = at, 0
        while at < len(segments) and segments[at].name in _firsts(child) and (child.most is None or count < child.most):
            at = _take(child, segments, at, missing)
            count += 1
            if at == start:
                break
            start = at
        if count < child.least:
            what = f"the group {child.name}" if child.kind == "GRP" else f"the segment {child.name}"
            missing.append((_before(segments, at), f"{what} is missing here"))
    return at


def _take(child: Definition, segments: Sequence[Segment], at: int, missing: list[tuple[str, str]]) -> int:
    return at + 1 if child.kind == "SEG" else _match(child, segments, at, missing)


def _before(segments: Sequence[Segment], at: int) -> str:
    return segments[at - 1].label if 0 < at <= len(segments) else "MSH"


@lru_cache(maxsize=4096)
def _firsts(child: Definition) -> frozenset[str]:
    """Return the segments that may begin a group: those before and including the first that it must have."""
    if child.kind == "SEG":
        return frozenset({child.name})
    found: set[str] = set()
    for part in child.children:
        found |= _firsts(part)
        if part.least and not child.choice:
            break
    return frozenset(found)


def _segment(segment: Segment, version: str) -> Iterator[Issue]:
    if segment.name.startswith("Z"):
        return
    defined = reference.segment(version, segment.name)
    if defined is None:
        yield _issue(segment.label, "this version has no such segment")
        return
    fields = defined.children
    for number in range(len(fields) + 1, len(segment.fields)):
        if segment.fields[number]:
            yield _issue(f"{segment.label}-{number}", "this version has no such field")
    for number, field in enumerate(fields, 1):
        where = f"{segment.label}-{number}"
        if segment.name == "MSH" and number < 3:
            continue
        repetitions = segment.repetitions(number)
        if not repetitions:
            if field.least:
                yield _issue(where, "a required field is empty")
            continue
        if field.most is not None and len(repetitions) > max(field.most, 1):
            yield _issue(where, "the field repeats more often than this version allows")
        if field.type == "WD":
            yield _issue(where, "the field is withdrawn in this version")
            continue
        type_ = segment.text(2) if (segment.name, number) == ("OBX", 5) else field.type
        for index, raw in enumerate(repetitions):
            yield from _value(segment, raw, type_, where if index == 0 else f"{where}[{index + 1}]", version)


def _value(segment: Segment, raw: str, type_: str, where: str, version: str) -> Iterator[Issue]:
    defined = reference.datatype(version, type_) if type_ else None
    if raw in ("", DELETE) or type_ in ("", "ED"):
        return
    if defined is None:
        yield _issue(where, "this version has no data type of the name in OBX-2")
        return
    marks = segment.delimiters
    parts = raw.split(marks.component)
    if not defined.children or type_ == "TS":
        if len(parts) > 1 and type_ not in ("TS", "FT", "TX"):
            yield _issue(where, f"the data type {type_} has no components")
        yield from _primitive(segment, parts[0], type_, where)
        return
    for number in range(len(defined.children), len(parts)):
        if parts[number]:
            yield _issue(f"{where}.{number + 1}", f"the data type {type_} has no such component")
    for number, (part, component) in enumerate(zip(parts, defined.children, strict=False), 1):
        inner = reference.datatype(version, component.type) if component.type else None
        subs = part.split(marks.subcomponent)
        if inner is None or not part:
            continue
        if not inner.children or component.type == "TS":
            if len(subs) > 1 and component.type not in ("TS", "FT", "TX"):
                yield _issue(f"{where}.{number}", f"the data type {component.type} has no subcomponents")
            yield from _primitive(segment, subs[0], component.type, f"{where}.{number}")
        elif len(subs) > len(inner.children) and any(subs[len(inner.children) :]):
            yield _issue(f"{where}.{number}", f"the data type {component.type} has no such subcomponent")


def _primitive(segment: Segment, raw: str, type_: str, where: str) -> Iterator[Issue]:
    text = segment.reader.text(raw) if raw != DELETE else ""
    pattern = _FORMATS.get(type_)
    if text and pattern is not None and not pattern.fullmatch(text):
        yield _issue(where, f"not a value of the data type {type_}")
