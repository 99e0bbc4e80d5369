"""How likely two Patient resources are one person: the weights of Fellegi and Sunter (1969), pure.

Each comparison has the chance that it agrees for one person (m) and for two (u). What both records have adds
log2(m / u) when it agrees and log2((1 - m) / (1 - u)) when it does not; what one of them lacks adds nothing. With the
prior chance that a candidate is the person, the sum is a probability. The chances are of the literature's usual order
and not fitted to anybody's data: the score orders candidates and says how much speaks for them, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from hawsepipe.fhir.extraction import fold
from hawsepipe.model import Resource

PRIOR: Final = 1e-4
"""The chance that a candidate is the person before anything is compared."""


class Grade(StrEnum):
    """https://hl7.org/fhir/R4/codesystem-match-grade.html"""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    CERTAINLY_NOT = "certainly-not"


@dataclass(frozen=True, slots=True)
class Likeness:
    """A probability of 0 to 1 in four decimals, and what it amounts to."""

    score: float
    grade: Grade


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Something that both records may have; what is `close` to agreeing adds half of the weight."""

    read: Callable[[Resource], frozenset[str]]
    m: float
    u: float
    close: Callable[[str, str], bool] | None = None


def likeness(sent: Resource, held: Resource) -> Likeness:
    """Compare two Patients. CERTAIN takes an identifier in common and full agreement about family name, birth date
    and gender as far as both have them; whatever the score, without an identifier a match is at most PROBABLE.
    """
    odds = PRIOR / (1 - PRIOR)
    doubtful: set[str] = set()
    for name, comparison in _COMPARISONS.items():
        ours, theirs = comparison.read(sent), comparison.read(held)
        if not ours or not theirs:
            continue
        m, u = comparison.m, comparison.u
        if ours & theirs:
            odds *= m / u
        elif comparison.close is not None and any(comparison.close(a, b) for a in ours for b in theirs):
            odds *= (m / u) ** 0.5
            doubtful.add(name)
        else:
            odds *= (1 - m) / (1 - u)
            doubtful.add(name)
    score = round(odds / (1 + odds), 4)
    same = bool(_identifiers(sent) & _identifiers(held))
    return Likeness(score, _grade(score, same, bool(doubtful & {"family", "birthDate", "gender"})))


def _grade(score: float, same: bool, doubtful: bool) -> Grade:
    if same and not doubtful and score >= 0.99:
        return Grade.CERTAIN
    if score >= 0.9:
        return Grade.PROBABLE
    return Grade.POSSIBLE if score >= 0.1 else Grade.CERTAINLY_NOT


def _identifiers(patient: Resource) -> frozenset[str]:
    return frozenset(
        f"{it['system']}|{it['value']}"
        for it in _objects(patient.get("identifier"))
        if "system" in it and "value" in it
    )


def _families(patient: Resource) -> frozenset[str]:
    return frozenset(fold(it["family"]) for it in _objects(patient.get("name")) if isinstance(it.get("family"), str))


def _given(patient: Resource) -> frozenset[str]:
    given = (part for it in _objects(patient.get("name")) for part in _texts(it.get("given"))[:1])
    return frozenset(fold(part) for part in given)


def _plain(name: str) -> Callable[[Resource], frozenset[str]]:
    def read(patient: Resource) -> frozenset[str]:
        value = patient.get(name)
        return frozenset({value}) if isinstance(value, str) else frozenset()

    return read


def _telecoms(patient: Resource) -> frozenset[str]:
    return frozenset(_reach(it["value"]) for it in _objects(patient.get("telecom")) if isinstance(it.get("value"), str))


def _reach(value: str) -> str:
    """Return a mail address folded, of a telephone number its last nine digits."""
    digits = "".join(character for character in value if character.isdigit())
    return fold(value) if "@" in value or len(digits) < 6 else digits[-9:]


def _places(patient: Resource) -> frozenset[str]:
    return frozenset(
        fold(it["postalCode"]).replace(" ", "")
        for it in _objects(patient.get("address"))
        if isinstance(it.get("postalCode"), str)
    )


def _close_names(one: str, other: str) -> bool:
    """An initial, a short form, or one letter of difference."""
    shorter, longer = sorted((one, other), key=len)
    return longer.startswith(shorter) or (len(shorter) > 3 and _one_apart(shorter, longer))


def _close_dates(one: str, other: str) -> bool:
    """A part of the other, day and month changed about, or one digit of difference."""
    if one.startswith(other) or other.startswith(one):
        return True
    first, second = one.split("-"), other.split("-")
    swapped = len(first) == len(second) == 3 and first[0] == second[0] and first[1:] == second[:0:-1]
    return swapped or (len(one) == len(other) and _one_apart(one, other))


def _one_apart(shorter: str, longer: str) -> bool:
    """Say whether one letter put in, left out or changed makes one of the other."""
    if len(longer) - len(shorter) > 1:
        return False
    at = next((place for place, letter in enumerate(shorter) if letter != longer[place]), len(shorter))
    return shorter[at:] == longer[at + 1 :] or shorter[at + 1 :] == longer[at + 1 :]


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (it for it in value if isinstance(it, dict)) if isinstance(value, list) else iter(())


def _texts(value: Any) -> list[str]:
    return [it for it in value if isinstance(it, str)] if isinstance(value, list) else []


_COMPARISONS: Final = {
    "identifier": _Comparison(_identifiers, 0.95, 0.000_01),
    "family": _Comparison(_families, 0.95, 0.002, _close_names),
    "given": _Comparison(_given, 0.9, 0.01, _close_names),
    "birthDate": _Comparison(_plain("birthDate"), 0.97, 0.000_05, _close_dates),
    "gender": _Comparison(_plain("gender"), 0.98, 0.5),
    "telecom": _Comparison(_telecoms, 0.6, 0.000_1),
    "postalCode": _Comparison(_places, 0.7, 0.002),
}


def criteria(sent: Resource) -> Iterable[tuple[tuple[str, str], ...]]:
    """Yield searches (pairs of name and value) whose matches are worth comparing."""
    for identifier in sorted(_identifiers(sent)):
        system, _, value = identifier.rpartition("|")
        yield (("identifier", f"{_escaped(system)}|{_escaped(value)}"),)
    born = sorted(_plain("birthDate")(sent))
    if born:
        yield (("birthdate", born[0]),)
    for family in sorted(_families(sent)):
        yield (("family", _escaped(family)), *((("gender", it),) if (it := str(sent.get("gender", ""))) else ()))
    for telecom in _objects(sent.get("telecom")):
        if isinstance(telecom.get("value"), str):
            yield (("telecom", _escaped(telecom["value"])),)


def _escaped(text: str) -> str:
    """Return a value as it stands in a search (https://hl7.org/fhir/R4/search.html#escaping)."""
    for character in "\\|$,":
        text = text.replace(character, f"\\{character}")
    return text
