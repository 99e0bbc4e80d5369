"""Narrative: the XHTML that R4 allows in `Narrative.div`.

https://hl7.org/fhir/R4/narrative.html#xhtml. Formatting elements and attributes of HTML 4 are allowed; scripts, event
handlers, forms, frames, style sheets and anything fetched from elsewhere are not.
"""

from __future__ import annotations

import re
from html.entities import name2codepoint
from xml.parsers import expat

NAMESPACE = "http://www.w3.org/1999/xhtml"

_ELEMENTS = frozenset(
    re.findall(
        r"\w+",
        """
        a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd del dfn div dl dt em h1 h2
        h3 h4 h5 h6 hr i img ins kbd li map ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr
        tt ul var
        """,
    )
)
_ATTRIBUTES = frozenset(
    re.findall(
        r"\S+",
        """
        abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset
        cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name noshade
        nowrap rel rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace
        width xml:lang xmlns
        """,
    )
)
# An address without a scheme is relative; two slashes or backslashes at its start would name another host.
_RELATIVE = r"(?![/\\]{2})[^:]*\Z"
_LINK = re.compile(rf"(?:https?:|ftp:|mailto:|tel:|urn:|#|{_RELATIVE})", re.IGNORECASE)
_IMAGE = re.compile(rf"(?:#|data:image/(?:png|gif|jpeg|bmp|webp);base64,|{_RELATIVE})", re.IGNORECASE)
_STYLE = re.compile(r"url\s*\((?!\s*data:\s*image/)|expression\s*\(|@import|javascript:|\\|/\*", re.IGNORECASE)


def flaw(div: str) -> str | None:
    """Return what is wrong with a narrative's XHTML, in words without its content, or None."""
    parser = expat.ParserCreate(namespace_separator=None)
    state = _Reader()
    parser.StartElementHandler = state.start
    parser.CharacterDataHandler = state.text
    parser.StartDoctypeDeclHandler = state.doctype
    parser.ProcessingInstructionHandler = state.instruction
    parser.UseForeignDTD(False)
    try:
        parser.Parse(_without_named_entities(div), True)
    except expat.ExpatError:
        return "is not well-formed XML"
    if state.flaw is None and not state.content:
        return "has no content"
    return state.flaw


def _without_named_entities(div: str) -> str:
    """Write the entities of HTML 4, which XML alone does not know, as characters."""

    def character(match: re.Match[str]) -> str:
        name = match[1]
        known = name2codepoint.get(name) if name not in ("amp", "lt", "gt", "quot", "apos") else None
        return match[0] if known is None else chr(known)

    return re.sub(r"&([A-Za-z][A-Za-z0-9]*);", character, div)


class _Reader:
    """Collects the first flaw."""

    def __init__(self) -> None:
        self.flaw: str | None = None
        self.content = False
        self._started = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._started:
            self._started = True
            if name != "div" or attributes.get("xmlns") != NAMESPACE:
                self._say("is not a div of XHTML")
        if name not in _ELEMENTS:
            self._say("has an element that is not allowed")
        self.content = self.content or name == "img"
        for attribute, value in attributes.items():
            self._attribute(name, attribute, value)

    def _attribute(self, name: str, attribute: str, value: str) -> None:
        target = re.sub(r"[\x00-\x20]+", "", value)
        if attribute not in _ATTRIBUTES:
            self._say("has an attribute that is not allowed")
        elif attribute == "style" and _STYLE.search(value):
            self._say("has a style that is not allowed")
        elif attribute == "xmlns" and value != NAMESPACE:
            self._say("has another namespace than XHTML")
        elif attribute == "src" and not (name == "img" and _IMAGE.match(target)):
            self._say("has content from elsewhere")
        elif attribute in ("href", "cite", "longdesc") and not _LINK.match(target):
            self._say("has a link that is not allowed")

    def text(self, data: str) -> None:
        self.content = self.content or bool(data.strip())

    def doctype(self, *_: object) -> None:
        self._say("has a document type")

    def instruction(self, *_: object) -> None:
        self._say("has a processing instruction")

    def _say(self, flaw: str) -> None:
        self.flaw = self.flaw or flaw
