"""XML in and out (https://hl7.org/fhir/R4/xml.html): the same content as JSON, in the order of the definitions.

Decimals keep their spelling and narratives every character, but for named entities of HTML, which XML alone does not
know: they are written as numbers. A document type is refused, so no entity can be declared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from html.entities import name2codepoint
from typing import Any, Final, NoReturn
from xml.parsers import expat

import msgspec

from hawsepipe.errors import InvalidRequest, NotAcceptable
from hawsepipe.fhir.codec import DEPTH, DIGITS, check_depth, lexeme
from hawsepipe.fhir.definitions import Definitions, Field, load
from hawsepipe.model import Resource

NAMESPACE: Final = "http://hl7.org/fhir"
XHTML: Final = "http://www.w3.org/1999/xhtml"

_SCHEMA: Final = "http://www.w3.org/2001/XMLSchema-instance "
_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_PLAIN: Final = frozenset({"amp", "lt", "gt", "quot", "apos"})
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SPECIAL: Final = re.compile('[&<>"\t\n\r]')
_OWN_DIV: Final = re.compile(rb"""<div(\s[^>]*)?\sxmlns\s*=\s*(["'])http://www\.w3\.org/1999/xhtml\2""")
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def encode(resource: Resource, *, pretty: bool = False) -> bytes:
    """Return a resource as XML in UTF-8.

    Raises NotAcceptable for what XML cannot hold: a control character, an element that R4 does not know.
    """
    writer = _Writer(load(), pretty)
    writer.resource(resource, 0, f' xmlns="{NAMESPACE}"')
    return ('<?xml version="1.0" encoding="UTF-8"?>' + "".join(writer.parts)).encode("utf-8")


def decode(data: bytes) -> Resource:
    """Return the resource in an XML document in UTF-8, as `codec.decode` gives it from JSON.

    Raises InvalidRequest, with the line and nothing of the content, for what is not well-formed, has a document type,
    nests too deep, or has elements or attributes that R4 does not know.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("the XML is not UTF-8") from None
    reader = _Reader(data, load())
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InvalidRequest(f"the XML is malformed in line {error.lineno}", location=f"line {error.lineno}") from None
    if reader.root is None:
        raise InvalidRequest("the XML holds no resource")
    check_depth(reader.root)
    return reader.root


class _Writer:
    def __init__(self, definitions: Definitions, pretty: bool) -> None:
        self._definitions = definitions
        self._pretty = pretty
        self.parts: list[str] = []

    def resource(self, value: Resource, depth: int, attributes: str = "") -> None:
        kind = value.get("resourceType")
        if kind not in self._definitions.resource_types:
            _cannot("a resource of a type that R4 does not know")
        self._open(f"{kind}{attributes}", depth)
        self._children(value, str(kind), depth + 1)
        self._close(str(kind), depth)

    def _children(self, value: dict[str, Any], shape: str, depth: int, *, attributes: tuple[str, ...] = ()) -> None:
        fields = self._definitions.shape(shape)
        if any(key.removeprefix("_") not in fields for key in value if key != "resourceType"):
            _cannot("an element that R4 does not know")
        for known in fields.values():
            if known.key in attributes:
                continue
            held, twin = value.get(known.key), value.get(f"_{known.key}")
            if held is None and twin is None:
                continue
            if not known.many:
                self._item(known, held, twin, depth)
                continue
            values, twins = held or [], twin or []
            for index in range(max(len(values), len(twins))):
                self._item(
                    known,
                    values[index] if index < len(values) else None,
                    twins[index] if index < len(twins) else None,
                    depth,
                )

    def _item(self, known: Field, value: Any, twin: Any, depth: int) -> None:
        name = known.key
        if known.type == "xhtml":
            self._line(depth)
            self.parts.append(_ENTITY.sub(_numbered, value))
        elif known.primitive:
            text = "" if value is None else f' value="{_escaped(_spelt(value))}"'
            self._element(name + text, name, twin or {}, "Element", depth)
        elif known.shape is None:
            self._open(name, depth)
            self.resource(value, depth + 1)
            self._close(name, depth)
        else:
            text = f' url="{_escaped(value["url"])}"' if known.shape == "Extension" and "url" in value else ""
            self._element(name + text, name, value, known.shape, depth)

    def _element(self, opening: str, name: str, value: dict[str, Any], shape: str, depth: int) -> None:
        if "id" in value:
            opening += f' id="{_escaped(value["id"])}"'
        attributes = ("id", "url") if shape == "Extension" else ("id",)
        if any(key not in attributes for key in value):
            self._open(opening, depth)
            self._children(value, shape, depth + 1, attributes=attributes)
            self._close(name, depth)
        else:
            self._line(depth)
            self.parts.append(f"<{opening}/>")

    def _open(self, opening: str, depth: int) -> None:
        self._line(depth)
        self.parts.append(f"<{opening}>")

    def _close(self, name: str, depth: int) -> None:
        self._line(depth)
        self.parts.append(f"</{name}>")

    def _line(self, depth: int) -> None:
        if self._pretty:
            self.parts.append("\n" + "  " * depth)


def _spelt(value: Any) -> str:
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode("ascii")
    if not isinstance(value, str | int | Decimal):
        _cannot("a value that is none of its type")
    return str(value)


def _escaped(text: str) -> str:
    if _FORBIDDEN.search(text):
        _cannot("a control character")
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)


def _numbered(match: re.Match[str]) -> str:
    point = None if match[1] in _PLAIN else name2codepoint.get(match[1])
    return match[0] if point is None else f"&#{point};"


def _cannot(text: str) -> NoReturn:
    raise NotAcceptable(f"the resource cannot be written in XML: it holds {text}")


@dataclass(slots=True)
class _Frame:
    """An element being read. `known` is the field that it is a value of, None for a resource; `value` is a primitive's;
    `items` collects (value, extensions) by key.
    """

    name: str
    shape: str | None
    known: Field | None
    made: dict[str, Any] = field(default_factory=dict)
    value: Any = None
    items: dict[str, tuple[Field, list[tuple[Any, Any]]]] = field(default_factory=dict)
    wraps: bool = False


class _Reader:
    """Builds a resource from the events of a parser."""

    def __init__(self, data: bytes, definitions: Definitions) -> None:
        self._data = data
        self._definitions = definitions
        self._frames: list[_Frame] = []
        self._div: list[str] | None = None
        self._div_start = self._div_depth = 0
        self.root: Resource | None = None
        self.parser = expat.ParserCreate("utf-8", " ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.buffer_text = True

    def _doctype(self, *_: object) -> None:
        self._refuse("has a document type")

    def _start(self, full: str, attributes: dict[str, str]) -> None:
        namespace, _, name = full.rpartition(" ")
        if self._div is not None:
            self._narrate(namespace, name, attributes)
            return
        if len(self._frames) >= 2 * DEPTH:
            self._refuse("nests too deep")
        above = self._frames[-1] if self._frames else None
        if namespace == XHTML and name == "div" and above is not None and above.shape == "Narrative":
            self._frames.append(_Frame("div", None, self._definitions.shape("Narrative")["div"]))
            self._div, self._div_start, self._div_depth = [], self.parser.CurrentByteIndex, 0
            self._narrate(namespace, name, attributes)
            return
        if namespace != NAMESPACE:
            self._refuse("has an element of another namespace than FHIR's")
        frame = self._resource(name) if above is None or above.wraps else self._element(above, name)
        self._frames.append(frame)
        for key, text in attributes.items():
            self._attribute(frame, key, text)

    def _resource(self, name: str) -> _Frame:
        if name not in self._definitions.resource_types:
            self._refuse("has no resource of R4 where one must be")
        if self._frames and "" in self._frames[-1].items:
            self._refuse("has two resources where one can be")
        return _Frame(name, name, None, {"resourceType": name})

    def _element(self, above: _Frame, name: str) -> _Frame:
        known = None if above.shape is None else self._definitions.shape(above.shape).get(name)
        if known is None or known.type == "xhtml" or (above.known is not None and name == "id"):
            self._refuse("has an element that R4 does not know")
        if known.primitive:
            return _Frame(name, "Element", known)
        return _Frame(name, known.shape, known, wraps=known.shape is None)

    def _attribute(self, frame: _Frame, key: str, text: str) -> None:
        if key.startswith(_SCHEMA):
            return
        known = frame.known
        if key == "value" and known is not None and known.primitive:
            frame.value = _typed(known.type, text)
        elif (key == "id" and known is not None and not frame.wraps) or (key == "url" and frame.shape == "Extension"):
            frame.made[key] = text
        else:
            self._refuse("has an attribute that R4 does not know")

    def _text(self, text: str) -> None:
        if self._div is not None:
            self._div.append(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
        elif text.strip():
            self._refuse("has text between elements")

    def _end(self, full: str) -> None:
        if self._div is not None:
            self._div_depth -= 1
            self._div.append(f"</{full.rpartition(' ')[2]}>")
            if self._div_depth > 0:
                return
            self._frames[-1].value = self._narrative()
            self._div = None
        frame = self._frames.pop()
        self._finish(frame)
        if not self._frames:
            self.root = frame.made
            return
        above = self._frames[-1]
        if frame.known is None:  # a resource inside an element
            above.items[""] = (_NO_FIELD, [])
            above.made = frame.made
            return
        held = above.items.setdefault(frame.known.key, (frame.known, []))[1]
        if held and not frame.known.many:
            self._refuse("has an element twice that can be there once")
        if frame.known.primitive:
            held.append((frame.value, frame.made or None))
        else:
            held.append((frame.made, None))

    def _finish(self, frame: _Frame) -> None:
        for key, (known, items) in frame.items.items():
            if not key:
                continue
            values, twins = [value for value, _ in items], [twin for _, twin in items]
            if any(value is not None for value in values):
                frame.made[key] = values if known.many else values[0]
            if any(twin is not None for twin in twins):
                frame.made[f"_{key}"] = twins if known.many else twins[0]

    def _narrate(self, namespace: str, name: str, attributes: dict[str, str]) -> None:
        assert self._div is not None
        if namespace != XHTML:
            self._refuse("has an element of another namespace in a narrative")
        self._div_depth += 1
        given = "".join(f' {key.rpartition(" ")[2]}="{_escaped(text)}"' for key, text in attributes.items())
        own = f' xmlns="{XHTML}"' if self._div_depth == 1 else ""
        self._div.append(f"<{name}{own}{given}>")

    def _narrative(self) -> str:
        """Return the div as it was written if it names its namespace itself, else written anew."""
        start, end = self._div_start, self.parser.CurrentByteIndex
        if _OWN_DIV.match(self._data, start):
            return self._data[start : self._data.index(b">", end) + 1].decode("utf-8")
        return "".join(self._div or ())

    def _refuse(self, text: str) -> NoReturn:
        line = self.parser.CurrentLineNumber
        raise InvalidRequest(f"the XML {text} (line {line})", location=f"line {line}")


_NO_FIELD: Final = Field("", "", "Resource", None, 0, 1, (), None, False)


def _typed(kind: str, text: str) -> Any:
    """Return a value as JSON has it; what is none of the type stays a text, for validation to find."""
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    if kind in {"integer", "positiveInt", "unsignedInt"} and _WHOLE.fullmatch(text):
        return int(text)
    if kind == "decimal" and len(text) <= DIGITS and _NUMBER.fullmatch(text):
        return int(text) if _WHOLE.fullmatch(text) and text != "-0" else lexeme(text)
    return text
