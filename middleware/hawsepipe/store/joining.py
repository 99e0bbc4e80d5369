"""What the Provenance of a transaction is seen by, of what its targets are: `visibility.joined` of sights.

Messages of one shape make targets of the same kinds, which have the same facets in common: what is joined of these is
remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from hawsepipe.fhir.index import Grouped
from hawsepipe.store.commonness import common
from hawsepipe.store.prepared import Sight
from hawsepipe.visibility import Subject, joined

_KEPT: Final = 512

_AUTHOR: Final = "author"

_Kinds = tuple[tuple[str, bytes, bool, bool], ...]
"""Of each target: its type, its facets in common, whether it names an author, whether the Provenance is kept for all
its patients."""


class Target(NamedTuple):
    """A first version that a Provenance of the same instant is about."""

    type: str
    patients: tuple[str, ...]
    sight: Sight


class Joining:
    """Joins sights, and remembers what is in common. For one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, _Kinds], bytes] = {}

    def joined(
        self, rows: Grouped, id_: str, patients: tuple[str, ...], own: Sight, targets: Sequence[Target]
    ) -> Sight:
        """Return the sight of a Provenance with these rows, kept for these patients; `own` is what it gives itself."""
        kept = {*patients}
        kinds = tuple(
            [(it.type, it.sight.common, _AUTHOR in dict(it.sight.own), kept >= {*it.patients}) for it in targets]
        )
        place = (own.common, kinds)
        text = self._known.get(place)
        whole = all(type_ != "Provenance" and here for type_, _, _, here in kinds)
        if text is None or not whole:
            subjects = [Subject(it.type, "", it.patients, 0, 0, it.sight.facets) for it in targets]
            found = joined(Subject("Provenance", id_, patients, 0, 0, own.facets), subjects)
            self._known[place] = common(found.values)
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
            return Sight.of(rows, found)
        rank, start, end = own.rank, None, None
        ranks = [rank, *[it.sight.rank for it in targets]]
        starts = [it.sight.clinical_start for it in targets if it.sight.clinical_start is not None]
        ends = [it.sight.clinical_end for it in targets if it.sight.clinical_end is not None]
        if targets and len(starts) == len(ends) == len(targets):
            start, end = min(starts), max(ends)
        known = [it for it in ranks if it is not None]
        return Sight(
            rows,
            max(known) if len(known) == len(ranks) else None,
            start,
            end,
            text,
            tuple(sorted({*own.own, *[pair for it in targets for pair in it.sight.own]})),
        )
