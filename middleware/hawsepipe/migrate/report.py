"""The report of a load as JSON values: source = loaded + duplicate + dead by type, roots, timings, contradictions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hawsepipe.migrate.plan import Plan
from hawsepipe.migrate.state import Tally, chunks
from hawsepipe.store.loads import Loads

_SHOWN: Final = 200
"""Contradictions that are listed by name."""

_BARS: Final = 60
"""Stretches of time that the course of a load is told in."""


def by_source(tally: Tally) -> dict[str, list[int]]:
    """Return how many records of each source were loaded, duplicate and dead."""
    found: dict[str, list[int]] = {}
    for (source, _), numbers in tally.counts.items():
        row = found.setdefault(source, [0, 0, 0])
        for what, count in enumerate(numbers):
            row[what] += count
    return found


def balance(planned: Mapping[str, Mapping[str, int]], tally: Tally) -> list[dict[str, Any]]:
    """Return a row for each source and type: what the source has, what became of it, and whether that is all of it."""
    rows: list[dict[str, Any]] = []
    places = {(source, type_) for source, counts in planned.items() for type_ in counts} | set(tally.counts)
    for source, type_ in sorted(places):
        have = planned.get(source, {}).get(type_, 0)
        loaded, duplicate, dead = tally.counts.get((source, type_), [0, 0, 0])
        rows.append(
            {
                "source": source,
                "type": type_,
                "records": have,
                "loaded": loaded,
                "duplicate": duplicate,
                "dead": dead,
                "balanced": have == loaded + duplicate + dead,
            }
        )
    return rows


async def made(
    store: Loads,
    plan: Plan,
    request: Mapping[str, Any],
    found: Mapping[str, Any],
    tally: Tally,
    roots: Mapping[str, str],
) -> dict[str, Any]:
    """Return the report of a load that has come to its end."""
    several, told = plan.contradictions(_SHOWN)
    loaded, duplicate, dead = tally.totals
    return {
        "load": request["load"],
        "dry": bool(request["dry"]),
        "plan": found["digest"],
        "records": found["records"],
        "bytes": found["bytes"],
        "loaded": loaded,
        "duplicate": duplicate,
        "dead": dead,
        "versions": tally.versions,
        "causes": dict(tally.causes),
        "types": balance(found["counts"], tally),
        "sources": by_source(tally),
        "roots": dict(roots),
        "unread": [list(one) for one in plan.unread()],
        "contradictions": {"count": several, "first": [list(one) for one in told]},
        "course": [] if request["dry"] else await course(store, str(request["load"])),
    }


async def course(store: Loads, load: str) -> list[list[float]]:
    """Return (seconds since the first chunk, records until then) of a load, in few points."""
    points: list[tuple[float, int]] = []
    begun: datetime | None = None
    records = 0
    async for chunk in chunks(store, load):
        at = datetime.fromisoformat(chunk.at)
        begun = begun or at
        records += sum(chunk.tally.totals)
        points.append(((at - begun).total_seconds(), records))
    step = max(1, len(points) // _BARS)
    shown = points[::step]
    if points and shown[-1] != points[-1]:
        shown.append(points[-1])
    return [[round(seconds, 3), count] for seconds, count in shown]
