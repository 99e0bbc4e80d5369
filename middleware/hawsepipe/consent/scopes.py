"""SMART scopes: what a token may do with a type.

SMART App Launch 2.2 scopes (`patient/Observation.rs`, `user/*.cruds`) and the older form (`patient/Observation.read`,
`user/*.*`): https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html. A scope with a search
constraint (`?category=…`) is recognised and grants nothing, because granting it without its constraint would be too
much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hawsepipe.consent.terms import SIGHT, SIGHT_OF_DELETED
from hawsepipe.model import Principal

_FORM: Final = re.compile(
    r"(?P<level>patient|user|system)/(?P<type>\*|[A-Z][A-Za-z]*)\.(?P<verbs>read|write|\*|c?r?u?d?s?)(?P<constraint>\?.*)?"
)
_OLD: Final[Mapping[str, str]] = {"read": "rs", "write": "cud", "*": "cruds"}

VERBS: Final[Mapping[str, str]] = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "history-system": "s",
    "search-type": "s",
    "history-type": "s",
    "export": "r",
    "subscribe": "r",
    "create": "c",
    "update": "u",
    SIGHT: "u",
    SIGHT_OF_DELETED: "d",
    "patch": "u",
    "delete": "d",
}
"""The letter of a SMART scope that an interaction needs. One that is not here is never granted."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One scope. `level` is patient, user or system, `type` a resource type or `*`, `verbs` letters of cruds;

    a `constraint` closes it.
    """

    level: str
    type: str
    verbs: str
    constraint: str | None = None

    def covers(self, interaction: str) -> bool:
        """Say whether the interaction is granted for the type."""
        return self.constraint is None and VERBS.get(interaction, "?") in self.verbs


@dataclass(frozen=True, slots=True)
class Reach:
    """The types that an interaction may touch.

    For every patient (`wide`), or only about the launch patient (`narrow`). None: all types.
    """

    wide: frozenset[str] | None
    narrow: frozenset[str] | None

    def touches(self, type: str) -> bool:
        """Say whether the type is within reach at all. It depends on the token alone."""
        return self.everywhere(type) or self.narrow is None or type in self.narrow

    @property
    def empty(self) -> bool:
        """Whether there is no type at all within reach."""
        return self.wide == frozenset() and self.narrow == frozenset()

    def everywhere(self, type: str) -> bool:
        """Say whether the type is within reach for every patient."""
        return self.wide is None or type in self.wide


def parse(scope: str) -> Grant | None:
    """Read one scope; None for one that grants no resource (`openid`, `launch/patient`, a misspelt one)."""
    match = _FORM.fullmatch(scope)
    if match is None or not match["verbs"]:
        return None
    return Grant(match["level"], match["type"], _OLD.get(match["verbs"], match["verbs"]), match["constraint"])


@lru_cache(maxsize=4096)
def reach(scopes: frozenset[str], launch: str | None, interaction: str) -> Reach:
    """Return what the scopes let an interaction touch. Scopes of level patient count only with a launch patient."""
    grants = [grant for grant in map(parse, scopes) if grant is not None and grant.covers(interaction)]
    wide = frozenset(grant.type for grant in grants if grant.level != "patient")
    narrow = frozenset(grant.type for grant in grants if grant.level == "patient" and launch is not None)
    return Reach(None if "*" in wide else wide, None if "*" in narrow else narrow)


def permits(principal: Principal, type: str, interaction: str) -> bool:
    """Say whether the principal's scopes cover the interaction on the type, for some patient at least."""
    return reach(principal.scopes, principal.patient, interaction).touches(type)
