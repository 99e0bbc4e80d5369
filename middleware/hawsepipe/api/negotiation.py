"""Which representation a client wants and which one it sends (https://hl7.org/fhir/R4/http.html#mime-type, #ops)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from hawsepipe.api.exchange import Request
from hawsepipe.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType

FHIR_JSON: Final = "application/fhir+json"
JSON: Final = "application/json"
FHIR_XML: Final = "application/fhir+xml"
XML: Final = "application/xml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
FORM: Final = "application/x-www-form-urlencoded"

_JSONS: Final = (FHIR_JSON, JSON)
_XMLS: Final = (FHIR_XML, XML, "text/xml")
_OFFERED: Final = (*_JSONS, *_XMLS)
_ANSWERS: Final = "answers come as application/fhir+json or application/fhir+xml in FHIR version 4.0"
_VERSIONS: Final = frozenset({"4.0", "4.0.0", "4.0.1"})
# A client that forgets to escape the plus of `_format=application/fhir+json` sends a space.
_FORMATS: Final = {
    "json": FHIR_JSON,
    FHIR_JSON: FHIR_JSON,
    "application/fhir json": FHIR_JSON,
    JSON: JSON,
    "text/json": JSON,
    "xml": FHIR_XML,
    FHIR_XML: FHIR_XML,
    "application/fhir xml": FHIR_XML,
    XML: XML,
    "text/xml": "text/xml",
}
_PARAMETER: Final = re.compile(r'\s*;\s*([^=;\s]+)\s*=\s*("[^"]*"|[^;\s]*)\s*')
_RANGE: Final = re.compile(r"\s*([\w!#$&^.+*-]+/[\w!#$&^.+*-]+)\s*(.*)", re.DOTALL)
_COMMA: Final = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')
_QUALITY: Final = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


@dataclass(frozen=True, slots=True)
class Format:
    """How to write the answer."""

    media_type: str = FHIR_JSON
    pretty: bool = False

    @property
    def xml(self) -> bool:
        """Whether it is XML rather than JSON."""
        return self.media_type in _XMLS

    @property
    def content_type(self) -> str:
        """The Content-Type header."""
        return f"{self.media_type}; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Preference:
    """The Prefer header. `returns` is minimal, representation or OperationOutcome; `strict` is handling=strict.

    `stated`: the header asks for the representation, which an entry of a Bundle has only then. `lenient` is
    handling=lenient, `asynchronous` respond-async.
    """

    returns: str = "representation"
    strict: bool = False
    stated: bool = False
    lenient: bool = False
    asynchronous: bool = False


def answer_format(request: Request) -> Format:
    """Return how to answer; `_format` goes before Accept. Raises NotAcceptable, InvalidRequest for a bad `_pretty`."""
    pretty = _single(request.query, "_pretty")
    if pretty not in {None, "true", "false"}:
        raise InvalidRequest("_pretty is true or false", location="_pretty")
    asked = _single(request.query, "_format")
    if asked is not None:
        essence, _, parameters = asked.partition(";")
        media_type = _FORMATS.get(essence.strip().lower())
        if media_type is None or not _version_fits(f";{parameters}" if parameters else ""):
            raise NotAcceptable(_ANSWERS, location="_format")
    else:
        media_type = _accepted(request.header("accept"))
    return Format(media_type, pretty == "true")


def preference(request: Request) -> Preference:
    """Return what the Prefer header asks (RFC 7240); what is not known in it is left alone, as the RFC says."""
    stated: dict[str, str] = {}
    for item in _split(request.header("prefer") or ""):
        for part in item.split(";"):
            name, _, value = part.strip().partition("=")
            stated.setdefault(name.strip().lower(), value.strip().strip('"'))
    returns = stated.get("return", "representation")
    if returns not in {"minimal", "representation", "OperationOutcome"}:
        returns = "representation"
    handling = stated.get("handling")
    return Preference(
        returns,
        strict=handling == "strict",
        stated=stated.get("return") == "representation",
        lenient=handling == "lenient",
        asynchronous="respond-async" in stated,
    )


def check_resource_body(request: Request) -> str:
    """Return whether a body is FHIR_JSON or FHIR_XML, in FHIR version 4.0 and UTF-8. Raises UnsupportedMediaType."""
    text = "a body must be application/fhir+json or application/fhir+xml in FHIR version 4.0, UTF-8, not compressed"
    given = _check_body(request, _OFFERED, text)
    return FHIR_XML if given in _XMLS else FHIR_JSON


def check_patch_body(request: Request) -> str:
    """Return whether a patch is JSON_PATCH, MERGE_PATCH, JSON, FHIR_JSON or FHIR_XML. Raises UnsupportedMediaType for
    any other form.
    """
    given = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if given in {JSON_PATCH, MERGE_PATCH, JSON}:
        return _check_body(request, (given,), "a patch must be in UTF-8 and not compressed")
    text = f"a patch is {JSON_PATCH}, {MERGE_PATCH}, or a Parameters resource in {FHIR_JSON} or {FHIR_XML}"
    return FHIR_XML if _check_body(request, (FHIR_JSON, FHIR_XML), text) == FHIR_XML else FHIR_JSON


def check_form_body(request: Request) -> None:
    """Raise UnsupportedMediaType unless the body says that it is a form."""
    _check_body(request, (FORM,), "the body must be application/x-www-form-urlencoded, in UTF-8 and not compressed")


def _check_body(request: Request, types: Iterable[str], text: str) -> str:
    match = _RANGE.fullmatch(request.header("content-type") or "")
    good = match is not None and match[1].lower() in types and _version_fits(match[2])
    charset = _parameters(match[2]).get("charset", "utf-8") if match is not None else ""
    if (
        not good
        or charset.lower() not in {"utf-8", "utf8"}
        or request.header("content-encoding") not in {None, "identity"}
    ):
        raise UnsupportedMediaType(text, location="Content-Type")
    return match[1].lower() if match is not None else ""


def _accepted(accept: str | None) -> str:
    if accept is None or not accept.strip():
        return FHIR_JSON
    ranges = list(_ranges(accept))
    best, best_quality = "", 0.0
    for offered in _OFFERED:
        fits = [entry for entry in ranges if _matches(entry[0], offered)]
        if fits:
            # The most specific range that fits decides, not the most generous one (RFC 9110, 12.5.1).
            quality = max(fits, key=lambda entry: (entry[0].count("*") * -1, entry[1]))[1]
            if quality > best_quality:
                best, best_quality = offered, quality
    if not best:
        raise NotAcceptable(_ANSWERS, location="Accept")
    return best


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for item in _split(accept):
        match = _RANGE.fullmatch(item)
        if match is None or not _version_fits(match[2]):
            continue
        quality = _parameters(match[2]).get("q", "1")
        if _QUALITY.fullmatch(quality):
            yield match[1].lower(), float(quality)


def _matches(wanted: str, offered: str) -> bool:
    return wanted in {offered, "*/*", "application/*"}


def _version_fits(parameters: str) -> bool:
    return _parameters(parameters).get("fhirversion", "4.0") in _VERSIONS


def _parameters(text: str) -> dict[str, str]:
    return {match[1].lower(): match[2].strip('"') for match in _PARAMETER.finditer(text)}


def _split(header: str) -> list[str]:
    return [item for item in _COMMA.split(header) if item.strip()]


def _single(pairs: Iterable[tuple[str, str]], name: str) -> str | None:
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise InvalidRequest(f"{name} is there more than once", location=name)
    return values[0] if values else None
