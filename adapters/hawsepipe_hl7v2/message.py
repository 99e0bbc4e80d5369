"""A v2 message as a value: split lazily, unescaped only where somebody reads.

Locations are written as people say them: `PID-3[2].4` is the fourth component of the second repetition of
PID-3; `OBX[2]-5` is in the second OBX. A first repetition or segment carries no number.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from hawsepipe import MessageError
from hawsepipe_hl7v2.charsets import codec_of, declared, decode, mislabelled
from hawsepipe_hl7v2.escapes import Delimiters, unescape, unresolved
from hawsepipe_hl7v2.header import Header, read_header

DELETE = '""'
"""The content of a field that the sender wants deleted."""
MAX_SEGMENTS = 10_000
MAX_FIELDS = 1_000
"""In one segment."""
MAX_REPETITIONS = 1_000
"""In one field."""
MAX_COMPONENTS = 1_000
"""In one repetition; of a component's subcomponents as many."""
MAX_PARTS = 1_000_000
"""Fields, repetitions, components and subcomponents of a whole message."""
_ENDS = re.compile(r"\r\n|\r|\n")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_UNSEEN = (
    (re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]"), "control characters are left out"),
    (
        re.compile(r"[\u202a-\u202e\u2066-\u2069\ufffe\uffff]"),
        "characters that nobody sees, and that may show a text as another, are kept",
    ),
)
_LOCATION = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\[([0-9]+)\])?(?:-([0-9]+)(?:\[([0-9]+)\])?(?:\.([0-9]+)(?:\.([0-9]+))?)?)?"
)


class Reader:
    """How raw values of a message become text: its delimiters and its character set.

    `text` returns a raw value as text: unescaped, stripped of white space around it and of control characters.
    `plain` says that the message has neither escapes nor control characters, as most have: then stripping is all.
    """

    __slots__ = ("codec", "delimiters", "plain", "text")
    text: Callable[[str], str]

    def __init__(self, delimiters: Delimiters, codec: str, *, plain: bool = False) -> None:
        self.delimiters = delimiters
        self.codec = codec
        self.plain = plain
        self.text = str.strip if plain else self._text

    def _text(self, raw: str) -> str:
        if raw.isalnum():
            return raw
        if self.delimiters.escape in raw:
            raw = unescape(raw, self.delimiters, self.codec)
        if not raw.isprintable():
            raw = "".join(mark for mark in raw if mark >= " " or mark in "\t\r\n")
        return raw.strip()


class Segment:
    """One segment. `number` counts segments of its name from 1; `label` is `OBX`, or `OBX[2]` for the second one."""

    __slots__ = ("delimiters", "fields", "label", "name", "number", "raw", "reader")
    fields: list[str]
    """The fields as sent, by number; entry 0 is the name. MSH-1 is the separator. Split on the first use."""

    def __init__(self, reader: Reader, name: str, raw: str, number: int) -> None:
        self.reader = reader
        self.delimiters = reader.delimiters
        self.name = name
        self.raw = raw
        self.number = number
        self.label = name if number == 1 else f"{name}[{number}]"

    def __getattr__(self, name: str) -> list[str]:
        # Reached only while the slot is empty: the split happens once, and only for segments that somebody reads.
        if name != "fields":
            raise AttributeError(name)
        parts = self.raw.split(self.delimiters.separator)
        if self.name == "MSH":
            parts.insert(1, self.delimiters.separator)
        self.fields = parts
        return parts

    def field(self, number: int) -> str:
        """Return a field as sent, with repetitions and escapes; empty when absent."""
        fields = self.fields
        return fields[number] if number < len(fields) else ""

    def repetitions(self, number: int) -> list[str]:
        """Return the repetitions of a field as sent; none for an empty field."""
        raw = self.field(number)
        if not raw:
            return []
        return raw.split(self.delimiters.repetition) if self.delimiters.repetition in raw else [raw]

    def component(self, number: int, component: int = 1, repetition: int = 1) -> str:
        """Return a component as sent (with its subcomponents); empty when absent."""
        repetitions = self.repetitions(number)
        if repetition > len(repetitions):
            return ""
        parts = repetitions[repetition - 1].split(self.delimiters.component)
        return parts[component - 1] if component <= len(parts) else ""

    def text(self, number: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """Return one value, unescaped and stripped; empty when absent or `\"\"`."""
        fields = self.fields
        if number >= len(fields) or not (raw := fields[number]):
            return ""
        if raw.isalnum():
            return raw if component == 1 and subcomponent == 1 and repetition == 1 else ""
        outer, middle, inner = self.delimiters.levels
        if outer in raw:
            raw = _part(raw, outer, repetition)
        elif repetition > 1:
            return ""
        if middle in raw:
            raw = _part(raw, middle, component)
        elif component > 1:
            return ""
        if inner in raw:
            raw = _part(raw, inner, subcomponent)
        elif subcomponent > 1:
            return ""
        return "" if raw == DELETE else self.reader.text(raw)


def _part(raw: str, mark: str, index: int) -> str:
    if index == 1:
        return raw[: raw.index(mark)]
    parts = raw.split(mark)
    return parts[index - 1] if index <= len(parts) else ""


class Message:
    """A parsed message. Raises MessageError for what is no segment, and for more parts than a message can mean."""

    __slots__ = ("clean", "contradicted", "delimiters", "event", "mislabelled", "reader", "segments", "type", "version")
    clean: bool
    """No value needs more than stripping: no escape, no control character, no `""`."""
    contradicted: bool
    """The carrier named another character set than MSH-18, and was believed."""
    mislabelled: bool
    """The bytes are UTF-8 and were read so, though MSH-18 says Latin-1."""

    def __init__(self, text: str, delimiters: Delimiters, codec: str) -> None:
        self.delimiters = delimiters
        self.contradicted = self.mislabelled = False
        # MSH-2 has the escape character once.
        bare = text.replace("\r", "").replace("\n", "")
        plain = text.count(delimiters.escape) == 1 and bare.isprintable()
        self.clean = plain and DELETE not in text
        self.reader = Reader(delimiters, codec, plain=plain)
        self.segments = tuple(self._segments(text))
        self._bound(text)
        header = self.segments[0]
        trigger = self.first("EVN")
        self.type = header.text(9, 1)
        self.event = header.text(9, 2) or (trigger.text(1) if trigger else "")
        self.version = header.text(12)

    def _segments(self, text: str) -> list[Segment]:
        separator, reader = self.delimiters.separator, self.reader
        counts: dict[str, int] = {}
        found: list[Segment] = []
        for line in _ENDS.split(text) if "\n" in text else text.split("\r"):
            if not line or line.isspace():
                continue
            if not (name := _name(line[:4], separator)):
                # To guess (a line break inside a value, a damaged name) would be to drop or to misread something.
                last = found[-1].label if found else "MSH"
                raise MessageError("parse", last, f"the line after {last} is no segment")
            number = counts[name] = counts.get(name, 0) + 1
            if len(found) == MAX_SEGMENTS:
                raise MessageError("structure", f"{name}[{number}]", f"more than {MAX_SEGMENTS} segments")
            if name == "MSH" and number > 1:
                raise MessageError("structure", "MSH[2]", "there is a second MSH segment")
            found.append(Segment(reader, name, line, number))
        return found

    def _bound(self, text: str) -> None:
        """Refuse what would be slow to translate and cannot be meant."""
        marks = self.delimiters
        levels = (
            (marks.separator, MAX_FIELDS, "fields"),
            (marks.repetition, MAX_REPETITIONS, "repetitions"),
            (marks.component, MAX_COMPONENTS, "components"),
            (marks.subcomponent, MAX_COMPONENTS, "subcomponents"),
        )
        total = [text.count(mark) for mark, _, _ in levels]
        if max(total) < min(MAX_FIELDS, MAX_REPETITIONS, MAX_COMPONENTS):
            return
        if sum(total) > MAX_PARTS:
            raise MessageError("structure", "", f"more than {MAX_PARTS} fields, repetitions and components")
        for (mark, most, name), count in zip(levels, total, strict=True):
            if count < most:
                continue
            for segment in self.segments:
                if segment.raw.count(mark) < most:
                    continue
                if mark == marks.separator:
                    raise MessageError("structure", segment.label, f"more than {most} fields")
                for number, raw in enumerate(segment.fields):
                    # Components count in each repetition.
                    parts = raw.split(marks.repetition) if mark != marks.repetition else (raw,)
                    if any(part.count(mark) >= most for part in parts):
                        raise MessageError("structure", f"{segment.label}-{number}", f"more than {most} {name}")

    def at(self, location: str) -> str:
        """Return what stands at a location (`PID-3[2].4`, `OBX[2]-5`, `NTE`), as text; empty when nothing does."""
        match = _LOCATION.fullmatch(location)
        if match is None:
            return ""
        name, segment, field, repetition, component, sub = match.groups()
        number = int(segment or 1)
        found = next((one for one in self.segments if (one.name, one.number) == (name, number)), None)
        if found is None or field is None:
            return "" if found is None else found.reader.text(found.raw)
        repetitions = found.repetitions(int(field))
        raw = repetitions[int(repetition or 1) - 1] if int(repetition or 1) <= len(repetitions) else ""
        for part, mark in ((component, self.delimiters.component), (sub, self.delimiters.subcomponent)):
            if part is not None:
                parts = raw.split(mark)
                raw = parts[int(part) - 1] if int(part) <= len(parts) else ""
        return found.reader.text(raw)

    def cut_off(self) -> Iterator[str]:
        """Yield the fields with a value that ends in the truncation character: its sender left out the rest (2.7)."""
        mark = self.delimiters.truncation
        if not mark:
            return
        ends = (self.delimiters.repetition, self.delimiters.component, self.delimiters.subcomponent)
        for segment in self.segments[1:]:
            if mark in segment.raw:
                for number, raw in enumerate(segment.fields):
                    if raw.endswith(mark) or any(mark + end in raw for end in ends):
                        yield f"{segment.label}-{number}"

    def unresolved(self) -> Iterator[str]:
        """Yield the fields with an escape character that belongs to no known escape: they are kept as they are."""
        mark = self.delimiters.escape
        for segment in self.segments[1:] if not self.reader.plain else ():
            if mark in segment.raw:
                for number, raw in enumerate(segment.fields):
                    if mark in raw and unresolved(raw, self.delimiters):
                        yield f"{segment.label}-{number}"

    def unseen(self) -> Iterator[tuple[str, str]]:
        """Yield the fields with characters that nobody sees, and what becomes of these: control characters are left out
        of texts; marks that turn the direction of a text, and what is no character of Unicode, stay."""
        for segment in self.segments[1:] if not self.reader.plain else ():
            if segment.raw.isprintable():
                continue
            for number, raw in enumerate(segment.fields):
                for pattern, text in _UNSEEN:
                    if pattern.search(raw):
                        yield f"{segment.label}-{number}", text

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name."""
        return next((segment for segment in self.segments if segment.name == name), None)


@lru_cache(maxsize=1024)
def _name(head: str, separator: str) -> str:
    """Return the name of a segment that begins with these four characters; empty when it is none."""
    return head[:3] if _NAME.match(head) and head[3:] in ("", separator) else ""


def parse(body: bytes, charset: str = "ascii", media_type: str = "") -> Message:
    """Parse a message. Raises MessageError only.

    The `charset` parameter of the media type goes before MSH-18; `charset` (a name of charsets.FALLBACKS) counts when
    neither says anything.
    """
    header = read_header(body)
    carrier = declared(media_type) if media_type else None
    codec = carrier or codec_of(header, charset)
    wrong = carrier is None and mislabelled(body, codec)
    codec = "utf-8" if wrong else codec
    message = Message(decode(body, codec), _delimiters(header.separator, header.encoding), codec)
    message.contradicted = carrier is not None and bool(header.field(18)) and carrier != _told(header, charset)
    message.mislabelled = wrong
    return message


def _told(header: Header, charset: str) -> str | None:
    try:
        return codecs.lookup(codec_of(header, charset)).name
    except MessageError:
        return None


@lru_cache(maxsize=64)
def _delimiters(separator: bytes, encoding: bytes) -> Delimiters:
    marks = encoding.decode("ascii")
    return Delimiters(separator.decode("ascii"), marks[0], marks[1], marks[2], marks[3], marks[4:])
