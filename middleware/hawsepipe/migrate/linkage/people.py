"""What of a Patient says who it is, spelt so that it can be compared. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from hawsepipe.fhir.extraction import fold
from hawsepipe.model import Resource

_LETTERS: Final = re.compile(r"[^\w]+")


class Person(NamedTuple):
    """A record of a person; what it does not tell is None. `identifiers` are `system|value`; `linked` are the ids of
    the records that it says are of the same person.
    """

    id: str
    given: str | None
    family: str | None
    born: str | None
    sex: str | None
    phone: str | None
    email: str | None
    street: str | None
    postcode: str | None
    identifiers: tuple[str, ...]
    linked: tuple[str, ...] = ()


def person(patient: Resource) -> Person:
    """Return who a Patient is: its first official or usual name, its first address, telephone and mail."""
    names = sorted(_objects(patient.get("name")), key=lambda it: it.get("use") not in (None, "official", "usual"))
    name = next((it for it in names if it.get("use") not in ("old", "maiden", "nickname")), {})
    address = next(iter(_objects(patient.get("address"))), {})
    given = name.get("given")
    lines = address.get("line")
    return Person(
        id=str(patient.get("id", "")),
        given=_word(given[0] if isinstance(given, list) and given else None),
        family=_word(name.get("family")),
        born=_text(patient.get("birthDate")),
        sex=sex if (sex := _text(patient.get("gender"))) in ("female", "male") else None,
        phone=_phone(patient),
        email=next((_fold(it["value"]) for it in _telecoms(patient) if "@" in it["value"]), None),
        street=_word(lines[0] if isinstance(lines, list) and lines else None),
        postcode=_word(address.get("postalCode")),
        identifiers=tuple(
            sorted(
                f"{it['system']}|{it['value']}"
                for it in _objects(patient.get("identifier"))
                if isinstance(it.get("system"), str) and isinstance(it.get("value"), str) and it.get("use") != "old"
            )
        ),
        linked=tuple(
            str(it["other"]["reference"]).removeprefix("Patient/")
            for it in _objects(patient.get("link"))
            if it.get("type") == "seealso" and isinstance(it.get("other"), dict) and "reference" in it["other"]
        ),
    )


def _phone(patient: Resource) -> str | None:
    for telecom in _telecoms(patient):
        digits = "".join(character for character in telecom["value"] if character.isdigit())
        if "@" not in telecom["value"] and len(digits) >= 6:
            return digits[-9:]
    return None


def _telecoms(patient: Resource) -> Iterator[dict[str, str]]:
    return (it for it in _objects(patient.get("telecom")) if isinstance(it.get("value"), str))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _fold(text: str) -> str:
    return fold(text).strip()


def _word(value: Any) -> str | None:
    return (_LETTERS.sub(" ", _fold(value)).strip() or None) if isinstance(value, str) else None
