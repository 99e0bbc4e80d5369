"""People with known truth, as several sources tell of them: typos, swapped names, moves, twins, shared telephones.

Everything is made up of syllables and a seed; nobody is meant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

_FIRST: Final = (
    "An",
    "Be",
    "Cla",
    "Do",
    "El",
    "Fri",
    "Gre",
    "Hel",
    "Ju",
    "Ka",
    "Lu",
    "Ma",
    "Ni",
    "O",
    "Pau",
    "Ro",
    "Ta",
)
_LAST: Final = ("na", "rik", "la", "ris", "vin", "dolf", "tje", "na", "mir", "bert", "da", "lena", "ko", "sel", "tin")
_FAMILY: Final = (
    ("Ber", "Bran", "Dor", "Ehr", "Feld", "Gar", "Hart", "Kes", "Lind", "Mar", "Nor", "Ost", "Rei", "Schwar", "Wen"),
    ("ge", "den", "ter", "li", "ber", "sen", "ken", "ma", "no", "ro"),
    ("mann", "stein", "berg", "burg", "feld", "ler", "ner", "ski", "sen", "hof", "bach", "wald"),
)
_STREETS: Final = ("Linden", "Garten", "Haupt", "Berg", "Kirch", "Wald", "Schul", "Bach", "Mühl", "Ring")


@dataclass(frozen=True, slots=True)
class Known:
    """A record and whose it is."""

    person: int
    source: str
    patient: dict[str, Any]


@dataclass
class _Person:
    given: str
    family: str
    born: str
    sex: str
    phone: str
    street: str
    postcode: str
    email: str
    national: str


def people(count: int, sources: int, seed: int) -> list[Known]:
    """Return the records of so many people in so many sources, each in each. One in a hundred is the twin of another,
    with the same address and telephone; one in two hundred has the name and birth date of somebody else.
    """
    chance = random.Random(seed)
    persons = [_person(chance, number) for number in range(count)]
    for number in range(1, count):
        before, own, dice = persons[number - 1], persons[number], chance.random()
        if dice < 0.01:
            own.family, own.born, own.phone = before.family, before.born, before.phone
            own.street, own.postcode = before.street, before.postcode
            while own.given == before.given:
                own.given = _given(chance)
        elif dice < 0.015:
            own.given, own.family, own.born, own.sex = before.given, before.family, before.born, before.sex
        elif dice < 0.15:  # a household
            own.family, own.phone, own.street, own.postcode = (
                before.family,
                before.phone,
                before.street,
                before.postcode,
            )
    found = []
    for number, person in enumerate(persons):
        for source in range(sources):
            found.append(Known(number, f"s{source}", _told(chance, person, f"s{source}", number)))
    return found


def _given(chance: random.Random) -> str:
    return chance.choice(_FIRST) + chance.choice(_LAST)


def _person(chance: random.Random, number: int) -> _Person:
    given, family = _given(chance), "".join(chance.choice(part) for part in _FAMILY)
    born = f"{chance.randint(1930, 2024)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    street = f"{chance.choice(_STREETS)}str. {chance.randint(1, 120)}"
    email = f"{given}.{family}{number}@example.org".lower() if chance.random() < 0.5 else ""
    phone = f"0{chance.randint(30, 99)}{chance.randint(1_000_000, 9_999_999)}"
    national = f"N{chance.randint(10**9, 10**10)}{number}"
    return _Person(
        given, family, born, chance.choice(("female", "male")), phone, street, _code(chance), email, national
    )


def _code(chance: random.Random) -> str:
    return f"{chance.randint(10000, 99999)}"


def _told(chance: random.Random, person: _Person, source: str, number: int) -> dict[str, Any]:
    given, family, born, sex = person.given, person.family, person.born, person.sex
    street, postcode, phone = person.street, person.postcode, person.phone
    if chance.random() < 0.06:
        given = _typo(chance, given)
    if chance.random() < 0.05:
        family = _typo(chance, family)
    if chance.random() < 0.02:
        given, family = family, given
    if chance.random() < 0.02:
        year, month, day = born.split("-")
        born = (
            f"{year}-{day}-{month}" if int(day) < 13 else f"{int(year) + chance.choice((-10, -1, 1, 10))}-{month}-{day}"
        )
    if chance.random() < 0.15:
        street, postcode = f"{chance.choice(_STREETS)}str. {chance.randint(1, 120)}", _code(chance)
    if chance.random() < 0.2:
        phone = f"01{chance.randint(50, 79)}{chance.randint(1_000_000, 9_999_999)}"
    patient: dict[str, Any] = {
        "resourceType": "Patient",
        "id": f"{source}-{number}",
        "identifier": [{"system": f"urn:{source}:mrn", "value": f"{source}{number * 7}"}],
        "name": [{"family": family, "given": [given]}],
        "birthDate": born,
        "address": [{"line": [street], "postalCode": postcode}],
        "telecom": [],
    }
    if chance.random() < 0.97:
        patient["gender"] = sex
    if chance.random() < 0.85:
        national = person.national if chance.random() < 0.99 else _typo(chance, person.national)
        patient["identifier"].append({"system": "urn:national", "value": national})
    if chance.random() < 0.8:
        patient["telecom"].append({"system": "phone", "value": phone})
    if person.email and chance.random() < 0.8:
        patient["telecom"].append({"system": "email", "value": person.email})
    return {key: value for key, value in patient.items() if value}


def _typo(chance: random.Random, text: str) -> str:
    place = chance.randrange(1, max(len(text) - 1, 2))
    kind = chance.randrange(4)
    if kind == 0 and place + 1 < len(text):
        return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    if kind == 1:
        return text[:place] + text[place + 1 :]
    if kind == 2:
        return text[:place] + text[place] + text[place:]
    return text[:place] + chance.choice("abdegiklmnorstu") + text[place + 1 :]
