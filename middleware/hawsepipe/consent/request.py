"""The circumstances of one access, as decisions see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hawsepipe.consent.criteria import Criteria
from hawsepipe.consent.directory import Circle, Directory, circle
from hawsepipe.consent.scopes import Reach, reach
from hawsepipe.consent.terms import ACTIONS, terms
from hawsepipe.consent.truth import Truth, every, some, truth
from hawsepipe.fhir.dates import microseconds
from hawsepipe.model import Principal


@dataclass(frozen=True, slots=True)
class BreakGlass:
    """A claim of an emergency: the reason in words and as a code, and the one patient (an id) whom it is about."""

    reason: str
    code: str
    patient: str


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for which interaction (a RESTful interaction code, or export, subscribe), when (microseconds UTC).

    `circle` is who the principal is at that instant. `break_glass` is None unless an emergency is claimed.
    """

    principal: Principal
    interaction: str
    instant: int
    circle: Circle
    break_glass: BreakGlass | None = None
    reach: Reach = field(init=False)

    def __post_init__(self) -> None:
        principal = self.principal
        object.__setattr__(self, "reach", reach(principal.scopes, principal.patient, self.interaction))

    @property
    def purpose(self) -> str | None:
        """The purpose of use; one that is not known counts as none."""
        purpose = self.principal.purpose
        return purpose if purpose in terms().purposes else None

    @property
    def oneself(self) -> str | None:
        """The id of the patient who asks for herself, None when it is somebody else."""
        kind, _, identity = self.principal.subject.partition("/")
        return identity if kind == "Patient" else None

    def asked(self, criteria: Criteria) -> Truth:
        """Say whether the criteria that concern the request alone are met: period, recipients, action, purpose.

        An actor element with a role that is not known is unknown as a whole: the role could have made it a
        restriction of the source.
        """
        return every((self._when(criteria), self._who(criteria), self._what(criteria), self._why(criteria)))

    def _when(self, criteria: Criteria) -> Truth:
        period = criteria.period
        if period is None:
            return Truth.TRUE
        return truth(period.low <= self.instant < period.high) if period.readable else Truth.UNKNOWN

    def _who(self, criteria: Criteria) -> Truth:
        if criteria.odd_actor:
            return Truth.UNKNOWN
        recipients = [actor.reference for actor in criteria.actors or () if not actor.source]
        if not recipients:
            return Truth.TRUE
        return some(Truth.UNKNOWN if reference is None else self.circle.holds(reference) for reference in recipients)

    def _what(self, criteria: Criteria) -> Truth:
        actions = criteria.actions
        if actions is None:
            return Truth.TRUE
        action = ACTIONS.get(self.interaction)
        if action in actions.known:
            return Truth.TRUE
        return Truth.UNKNOWN if actions.unknown or action is None else Truth.FALSE

    def _why(self, criteria: Criteria) -> Truth:
        listed = criteria.purposes
        if listed is None:
            return Truth.TRUE
        if self.purpose is None:
            return Truth.UNKNOWN
        if any(terms().covered(self.purpose, code) for code in listed.known):
            return Truth.TRUE
        return Truth.UNKNOWN if listed.unknown else Truth.FALSE


def request(
    principal: Principal,
    interaction: str,
    instant: datetime,
    directory: Directory,
    break_glass: BreakGlass | None = None,
) -> Request:
    """Return the circumstances of an access at an aware instant."""
    now = microseconds(instant)
    return Request(principal, interaction, now, circle(principal, directory, now), break_glass)
