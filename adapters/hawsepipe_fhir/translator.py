"""The translator kind `fhir`: a resource or Bundle of R4, STU3, DSTU2 or R5 to changes of R4 resources, purely."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from hawsepipe import (
    Converted,
    HawsepipeError,
    Issue,
    Kind,
    MessageError,
    Opening,
    Piece,
    RawMessage,
    Resource,
    Severity,
    Trail,
    Translation,
    Translator,
    decode,
)
from hawsepipe_fhir import detection, tables
from hawsepipe_fhir.backward import backward
from hawsepipe_fhir.bench import Move
from hawsepipe_fhir.bundles import Asked, asked
from hawsepipe_fhir.caution import modifiers
from hawsepipe_fhir.conversion import Conversion, convert, converter
from hawsepipe_fhir.evidence import version_of
from hawsepipe_fhir.identity import Identities
from hawsepipe_fhir.lines import parts
from hawsepipe_fhir.settings import SCHEMA

MEDIA_TYPES = frozenset({"application/fhir+json", "application/json+fhir", "application/json", "text/json"})
"""What is read: the type of R4, that of DSTU2, and what those send who do not know either."""


class FhirTranslator:
    """The rule tables with one set of settings. Raises ConfigError when a table is wrong."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        defaults = {name: part["default"] for name, part in SCHEMA["properties"].items() if "default" in part}
        held = {**defaults, **settings}
        self._version: str = held["version"]
        self._source: str = held.get("source", "")
        self._shared = held["identity"] == "shared"
        self._strict = held["unreadable"] == "refuse"
        self._consents: str = held["consents"]
        self._modifiers = frozenset(held["modifiers"])
        told = json.dumps(held, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        self._digest = sha256(sha256(tables.canonical()).digest() + told).digest()

    @property
    def media_types(self) -> frozenset[str]:
        """The media types that are read, without their parameters (`fhirVersion`, `charset`)."""
        return MEDIA_TYPES

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over the rule tables and the settings."""
        return self._digest

    def translate(self, message: RawMessage) -> Translation:
        """Translate one message for the record. Raises MessageError, and nothing else.

        What `read` finds at error level (content that the version does not have, unless the settings say otherwise)
        refuses the whole message.
        """
        translation = self.read(message)
        for issue in translation.issues:
            if issue.severity is Severity.ERROR:
                raise MessageError(issue.cause, issue.location, issue.text)
        if not translation.changes:
            raise MessageError("structure", "", "nothing in this message changes the record")
        return translation

    def read(self, message: RawMessage) -> Translation:
        """Translate one message as far as it goes; what stands against using it is an issue at error level.

        Raises MessageError for what is no message at all.
        """
        try:
            return self._translate(message)
        except MessageError:
            raise
        except HawsepipeError as error:
            raise MessageError("parse", "", str(error)) from error
        except Exception as error:
            # A fault of ours must stay with this message: the host sets it aside and goes on.
            raise MessageError("mapping", "", f"the translator failed ({type(error).__name__})") from error

    def convert(self, message: RawMessage, to: str = "R4") -> Converted:
        """Return one message in R4, or by way of it in STU3. Raises MessageError, and nothing else.

        The version is that of the media type, else what the body states, else its shape if that leaves no doubt.
        """
        try:
            essence, told = detection.essence(message.media_type)
            if essence not in MEDIA_TYPES:
                raise MessageError("structure", "", "only JSON is read here")
            body = decode(message.body)
            if not isinstance(body.get("resourceType"), str):
                raise MessageError("structure", "resourceType", "is missing")
            if to.upper() not in ("R4", "STU3"):
                raise MessageError("mapping", "", "only R4 and STU3 can be written")
            wanted = detection.named(to)
            # What is to become older is R4 unless somebody says otherwise.
            version = version_of(body, told, None) if wanted == detection.R4 or told else detection.R4
            conversion = convert(body, version)
            issues = self._findings(conversion)
            if wanted != detection.R4:
                conversion = backward(wanted).convert(conversion.resource)
                issues += self._findings(conversion)
            issues.sort(key=lambda issue: _RANK[issue.severity])
            return Converted(conversion.resource, _label(version, conversion.resource), tuple(issues))
        except MessageError:
            raise
        except HawsepipeError as error:
            raise MessageError("parse", "", str(error)) from error
        except Exception as error:
            raise MessageError("mapping", "", f"the conversion failed ({type(error).__name__})") from error

    def parts(self, chunks: Iterable[bytes]) -> Iterator[Piece]:
        """Yield the resources of a file: one as JSON, or one a line (NDJSON), of which one at a time is held."""
        return parts(chunks)

    def _translate(self, message: RawMessage) -> Translation:
        essence, told = detection.essence(message.media_type)
        if essence not in MEDIA_TYPES:
            raise MessageError("structure", "", "only JSON is read here")
        body = decode(message.body)
        version = told or detection.stated(body) or self._default(body)
        issues: list[Issue] = []
        moves: tuple[Move, ...] = ()
        if version != detection.R4:
            conversion = converter(version).convert(body)
            issues += self._findings(conversion)
            moves, body = conversion.moves, conversion.resource
        elif not isinstance(body.get("resourceType"), str):
            raise MessageError("structure", "resourceType", "is missing")
        for path in modifiers(body, self._modifiers):
            text = "a modifier that nobody here understands may turn the meaning (setting `modifiers`)"
            issues.append(Issue(Severity.ERROR, "structure", _shown(path), text))
        changes = asked(body, Identities(self._source, shared=self._shared), issues, self._consents)
        name, several = _label(version, body), body["resourceType"] == "Bundle"
        return Translation(
            changes=tuple(it.change for it in changes),
            issues=tuple(sorted(issues, key=lambda issue: _RANK[issue.severity])),
            trail=tuple(_trail(changes, moves)),
            label=f"{name} ({len(changes)} resources)" if several else name,
            event_time=_event_time(body),
        )

    def _default(self, body: Resource) -> str:
        return detection.guessed(body) if self._version == "guess" else detection.named(self._version)

    def _findings(self, conversion: Conversion) -> list[Issue]:
        found = [Issue(self._weighed(it.severity), "mapping", _shown(it.source), it.reason) for it in conversion.losses]
        return found + [Issue(it.severity, "mapping", it.target, it.reason) for it in conversion.notes]

    def _weighed(self, severity: Severity) -> Severity:
        return severity if self._strict or severity is not Severity.ERROR else Severity.WARNING


def _label(version: str, body: Resource) -> str:
    """Name a resource of R4 for people, with the version that it came in: `STU3 Bundle transaction`."""
    kind = body.get("type") if body["resourceType"] == "Bundle" else None
    return " ".join(str(part) for part in (version.upper(), body["resourceType"], kind) if part)


_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]]{0,500}")


def _shown(path: str) -> str:
    """Return a path as it may be shown: an element that the version does not have can be called anything."""
    if _PLAIN.fullmatch(path):
        return path
    names: list[str] = []
    for name in path.split("."):
        if not _PLAIN.fullmatch(name):
            break
        names.append(name)
    return ".".join([*names, "?"])


_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def _trail(changes: list[Asked], moves: tuple[Move, ...]) -> list[Trail]:
    """Return a line for each resource, and one for each leaf that has another path or value than in the source."""
    trail = [Trail(_name(it), "", it.path or "Resource") for it in changes if it.change.resource is not None]
    owners = {it.path: it for it in changes}
    for move in moves:
        path, _, rest = _split(move.target)
        source_path, _, source_rest = _split(move.source)
        owner = owners.get(path)
        if owner is not None and not (move.exact and path == source_path and rest == source_rest):
            trail.append(Trail(_name(owner), rest, move.source))
    return trail


def _name(asked: Asked) -> str:
    return f"{asked.change.type}/{asked.change.id}"


def _split(path: str) -> tuple[str, str, str]:
    """Split a path at the resource of an entry: `entry[3].resource`, `.`, `name[0].family`."""
    if not path.startswith("entry["):
        return "", "", path
    end = path.find("].resource.")
    return (path[: end + len("].resource")], ".", path[end + len("].resource.") :]) if end > 0 else (path, "", "")


def _event_time(body: Resource) -> datetime | None:
    """Return when a Bundle was put together, else when its one resource was last changed, by the source's word."""
    for text in _told_times(body):
        if isinstance(text, str):
            try:
                moment = datetime.fromisoformat(text)
            except ValueError:
                continue
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
    return None


def _told_times(body: Resource) -> Iterator[Any]:
    yield body.get("timestamp")
    yield _part(body.get("meta"), "lastUpdated")
    entries = body.get("entry") if body.get("resourceType") == "Bundle" else None
    if isinstance(entries, list) and len(entries) == 1:
        yield _part(_part(_part(entries[0], "resource"), "meta"), "lastUpdated")
        yield _part(_part(entries[0], "response"), "lastModified")


def _part(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


@asynccontextmanager
async def open_translator(opening: Opening) -> AsyncIterator[Translator]:
    """Take the settings of one translator; tables are compiled when a version is first met."""
    yield FhirTranslator(opening.settings)


KIND: Kind[Translator] = Kind("fhir", SCHEMA, open_translator)
