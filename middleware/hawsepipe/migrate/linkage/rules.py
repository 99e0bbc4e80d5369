"""What is done about two records that may be one person: joined, shown to somebody, or nothing. Pure.

A score says how much speaks for it. It does not know twins, who agree in all but a name, nor two people of one name and
birth date; so a pair is joined by itself only when something personal agrees as well, and nothing decisive contradicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from hawsepipe.migrate.linkage.people import Person

AUTOMATIC: Final = 0.999
"""The probability from which a pair may be joined by itself."""

REVIEW: Final = 0.5
"""The probability from which somebody is to look at a pair."""

_COMMON: Final = 3
"""A name that so many records have is a name, and no slip of another one."""


_RARER: Final = 30
"""A spelling that is so many times rarer than the other one is a slip of it."""

_KNOWN: Final = 6
"""A name that so many records have is known for one."""


_SLIPS: Final = 2
"""Edits between two spellings of one number."""


class Verdict(StrEnum):
    """What is done about a pair."""

    SAME = "same"
    REVIEW = "review"
    NOTHING = "nothing"


class Judged(NamedTuple):
    """A verdict and the reasons for it: names of elements, no values."""

    verdict: Verdict
    reasons: tuple[str, ...]


class Names:
    """How many records have a given name."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._counts = Counter(it.given for it in people if it.given is not None)

    def slip(self, one: str, another: str) -> bool:
        """Whether one of two given names is the other with a slip in it: one edit, and only one of them a known name.

        Where both are rare nobody can tell: they may be those of twins.
        """
        known = max(self._counts[one], self._counts[another])
        return known >= _KNOWN and not self._two(one, another) and edits(one, another) == 1

    def _two(self, one: str, another: str) -> bool:
        """Whether both are names: slips of a frequent name come more than once, but are far less frequent."""
        rare, known = sorted((self._counts[one], self._counts[another]))
        return rare >= _COMMON and rare * _RARER >= known

    def other(self, one: str, another: str) -> bool:
        """Whether two given names are two names, rather than one and a slip of it."""
        if self._two(one, another):
            return True
        return edits(one, another) > (1 if min(len(one), len(another)) < 5 else 2)


def judged(one: Person, other: Person, score: float, names: Names) -> Judged:
    """Return what is done about a pair with this probability.

    1. Below REVIEW: nothing. 2. Contradictions (number, sex, birth date, given name): somebody decides. 3. Joined from
    AUTOMATIC on, where more than name and birth date agree: an identifier or a mail address (with the birth date or the
    given name), or telephone or address with both; or name, telephone and address with a slip in the birth date.
    """
    if score < REVIEW:
        return Judged(Verdict.NOTHING, ())
    against = contradictions(one, other, names)
    identifier = bool(set(one.identifiers) & set(other.identifiers))
    mail = _same(one.email, other.email)
    home = _same(one.street, other.street) and _same(one.postcode, other.postcode)
    phone = _same(one.phone, other.phone)
    given = _same(one.given, other.given) or _exchanged(one, other) or _slip(one, other, names)
    told = {"identifier": identifier, "mail": mail, "address": home, "phone": phone, "given": given}
    reasons = tuple(name for name, agrees in told.items() if agrees)
    personal = identifier or mail
    born = _same(one.born, other.born)
    both = home and phone and given and _same(one.family, other.family)
    enough = (personal and (born or given)) or (given and born and (home or phone)) or both
    if score >= AUTOMATIC and enough and not against:
        return Judged(Verdict.SAME, reasons)
    return Judged(Verdict.REVIEW, (*reasons, *(f"not {name}" for name in against)))


def contradictions(one: Person, other: Person, names: Names) -> tuple[str, ...]:
    """Return in what two records contradict each other, as names of elements.

    Numbers of one system that differ by more than a slip are those of two people, most likely.
    """
    found: list[str] = []
    if not set(one.identifiers) & set(other.identifiers) and _other_numbers(one, other):
        found.append("identifier")
    if one.sex is not None and other.sex is not None and one.sex != other.sex:
        found.append("sex")
    if one.born is not None and other.born is not None and not near(one.born, other.born):
        found.append("birthDate")
    if (
        one.given
        and other.given
        and one.given != other.given
        and not _exchanged(one, other)
        and names.other(one.given, other.given)
    ):
        found.append("given")
    return tuple(found)


def near(one: str, other: str) -> bool:
    """Whether two dates may be one: a part of the other, day and month exchanged, or one digit off."""
    if one.startswith(other) or other.startswith(one):
        return True
    first, second = one.split("-"), other.split("-")
    if len(first) == len(second) == 3 and first[0] == second[0] and first[1:] == second[:0:-1]:
        return True
    return len(one) == len(other) and sum(a != b for a, b in zip(one, other, strict=True)) == 1


def edits(one: str, other: str) -> int:
    """Return the edits between two words (optimal string alignment: exchanged neighbours are one)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        now = [i]
        for j, b in enumerate(other, 1):
            cost = min(last[j] + 1, now[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            now.append(cost)
        before, last = last, now
    return last[-1]


def clusters(
    ids: Iterable[str],
    same: Iterable[tuple[str, str]],
    doubtful: Iterable[tuple[str, str]],
    *,
    said: Iterable[tuple[str, str]] = (),
    apart: Iterable[tuple[str, str]] = (),
) -> tuple[list[frozenset[str]], list[tuple[str, str]]]:
    """Return the groups that pairs make, and the pairs that were left out because they would have brought two together
    who are to stay apart.

    What somebody has `said` comes first and gives way only to what somebody has said to be `apart`; pairs of `same`
    follow in their order, and give way to `doubtful` ones as well.
    """
    group: dict[str, set[str]] = {id_: {id_} for id_ in ids}
    enemies: dict[str, set[str]] = {id_: set() for id_ in group}
    refused: list[tuple[str, str]] = []

    def part(pairs: Iterable[tuple[str, str]]) -> None:
        for one, other in pairs:
            if one in enemies and other in enemies:
                enemies[one].add(other)
                enemies[other].add(one)

    def join(pairs: Iterable[tuple[str, str]]) -> None:
        for one, other in pairs:
            if one not in group or other not in group or group[one] is group[other]:
                continue
            if any(enemies[member] & group[other] for member in group[one]):
                refused.append((one, other))
                continue
            joined = group[one] | group[other]
            for member in joined:
                group[member] = joined

    part(apart)
    join(said)
    part(doubtful)
    join(same)
    seen: dict[int, frozenset[str]] = {id(members): frozenset(members) for members in group.values()}
    return sorted((it for it in seen.values() if len(it) > 1), key=min), refused


def _same(one: str | None, other: str | None) -> bool:
    return one is not None and one == other


def _other_numbers(one: Person, other: Person) -> bool:
    """Whether two records have numbers of one system that are no slips of each other."""
    told = [tuple(identifier.rpartition("|")[::2]) for identifier in one.identifiers]
    return any(
        system == identifier.rpartition("|")[0] and edits(value, identifier.rpartition("|")[2]) > _SLIPS
        for system, value in told
        for identifier in other.identifiers
    )


def _slip(one: Person, other: Person, names: Names) -> bool:
    """Whether the given names are one with a slip in it, of two who agree in family name and birth date."""
    if not (_same(one.family, other.family) and _same(one.born, other.born)) or not one.given or not other.given:
        return False
    return names.slip(one.given, other.given)


def _exchanged(one: Person, other: Person) -> bool:
    return one.given is not None and one.family is not None and (one.given, one.family) == (other.family, other.given)
