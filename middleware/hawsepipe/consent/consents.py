"""The consents of everybody, by patient, at one consent epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hawsepipe.consent.directives import Directive, Standing, in_force
from hawsepipe.consent.policy import PolicySettings


@dataclass(frozen=True, slots=True)
class Consents:
    """Directives by patient id.

    `linked` gives, for a patient with links, every id of the same person, her own included. `alike` are the patients
    without links, those together about whom the consents say the same.
    """

    directives: Mapping[str, tuple[Directive, ...]] = field(default_factory=dict)
    linked: Mapping[str, frozenset[str]] = field(default_factory=dict)
    alike: tuple[frozenset[str], ...] = ()

    def persons(self, patient: str) -> frozenset[str]:
        """Return every id of the person."""
        return self.linked.get(patient, frozenset({patient}))

    def of(self, patient: str) -> tuple[Directive, ...]:
        """Return all consents of a person, in force or not."""
        if patient not in self.linked:
            return self.directives.get(patient, ())
        return tuple(one for person in sorted(self.persons(patient)) for one in self.directives.get(person, ()))

    def in_force(self, patient: str, purpose: str | None, settings: PolicySettings) -> tuple[Directive, ...]:
        """Return those that speak about a purpose, each with its standing for it."""
        return in_force(self.of(patient), purpose, require_verification=settings.require_verification)

    def contradictory(self) -> list[frozenset[str]]:
        """Return the people whose records were merged and bring consents that differ: somebody has to decide.

        Until then all of them hold, and whatever one denies is denied.
        """
        groups = dict.fromkeys(self.linked.values())
        return [group for group in groups if len(self._told(group)) > 1]

    def _told(self, group: frozenset[str]) -> set[tuple[bytes, ...]]:
        told = (
            tuple(sorted(one.shape for one in self.directives.get(patient, ()) if one.standing is not Standing.NONE))
            for patient in group
        )
        return {shapes for shapes in told if shapes}

    def every(self) -> Iterable[Directive]:
        """Yield each directive."""
        for directives in self.directives.values():
            yield from directives


def gathered(directives: Iterable[Directive], links: Mapping[str, frozenset[str]] | None = None) -> Consents:
    """Return the consents by patient.

    `links` gives patients that Patient.link names (replaced-by, replaces) for a patient. Two are one person only if
    each names the other, as a merge leaves them: one record that claims another joins nothing.
    """
    by_patient: dict[str, list[Directive]] = {}
    for directive in directives:
        by_patient.setdefault(directive.patient, []).append(directive)
    linked = _components(links or {})
    alike: dict[tuple[bytes, ...], list[str]] = {}
    for patient, found in by_patient.items():
        if patient not in linked:
            alike.setdefault(tuple(sorted(one.shape for one in found)), []).append(patient)
    return Consents(
        directives={patient: tuple(found) for patient, found in by_patient.items()},
        linked=linked,
        alike=tuple(frozenset(patients) for patients in alike.values()),
    )


def slot(boundaries: tuple[int, ...], instant: int) -> int:
    """Return between which of the sorted boundaries an instant lies: two instants in one slot have the same answers."""
    return bisect_right(boundaries, instant)


def _components(links: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for patient, named in links.items():
        others = {other for other in named if patient in links.get(other, frozenset())} - {patient}
        if not others:
            continue
        joined = {patient, *others}
        for member in list(joined):
            joined |= groups.get(member, set())
        for member in joined:
            groups[member] = joined
    return {patient: frozenset(group) for patient, group in groups.items()}
