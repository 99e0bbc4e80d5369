"""The steps that plans are made of."""

from __future__ import annotations

from typing import Any

from hawsepipe import Severity
from hawsepipe_fhir.bench import Convert, Job, Json, Place, Step, items
from hawsepipe_fhir.definitions import Field


class Plan:
    """The steps of an object by key."""

    __slots__ = ("steps",)

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}

    def run(self, value: Any, place: Place, job: Job, source: str) -> None:
        """Write what the rules say of an object to a place."""
        if type(value) is not dict:
            job.lose(source, "is not an object in the source", Severity.ERROR)
            return
        steps = self.steps
        prefix = f"{source}." if source else ""
        for key, held in value.items():
            name = key
            if key[:1] == "_":
                name = key[1:]
                if name in value:
                    continue
                held, twin = None, held
            else:
                twin = value.get(f"_{key}")
            step = steps.get(name)
            if step is not None:
                step(held, twin, place, job, prefix + name)
            elif key != "resourceType":
                job.lose(prefix + name, "is not an element of this version", Severity.ERROR)


def joined(chain: list[Field]) -> str:
    """Return the keys of a chain as a path."""
    return ".".join(field.key for field in chain)


def together(steps: list[Step]) -> Step:
    """Do several steps with one element."""
    if len(steps) == 1:
        return steps[0]

    def step(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for step in steps:
            step(held, twins, place, job, source)

    return step


def lost(reason: str) -> Step:
    """Give an element up, for a reason that its row states."""

    def step(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        job.lose(source, reason, Severity.INFORMATION)

    return step


def moved(final: Field, convert: Convert, spill: Step) -> Step:
    """Convert an element into a field of the open place; `spill` takes what finds no room or is refused."""
    if not final.many:

        def one(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            for value, twin, path in items(held, twins, source):
                if place.taken(final) and final.key not in place.opened:
                    spill(value, twin, place, job, path)
                else:
                    made, made_twin = convert(value, twin, place.at(final), place, job, path)
                    if made is NotImplemented:
                        spill(value, twin, place, job, path)
                    else:
                        place.put(final, made, made_twin)

        return one

    def each(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, twin, path in items(held, twins, source):
            made, made_twin = convert(value, twin, place.at(final), place, job, path)
            if made is NotImplemented:
                spill(value, twin, place, job, path)
            elif made is not None or made_twin:
                place.put(final, made, made_twin)

    return each


def moved_far(base: str, chain: tuple[Field, ...], convert: Convert, spill: Step) -> Step:
    """Convert an element into a field below the open place with the path `base`."""
    final = chain[-1]

    def step(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, twin, path in items(held, twins, source):
            spot = _reached(climb(place, base), chain, job)
            if spot.taken(final) and final.key not in spot.opened:
                spill(value, twin, place, job, path)
                continue
            made, made_twin = convert(value, twin, spot.at(final), spot, job, path)
            if made is NotImplemented:
                spill(value, twin, place, job, path)
            elif made is not None or made_twin:
                spot.put(final, made, made_twin)

    return step


def _reached(place: Place, chain: tuple[Field, ...], job: Job) -> Place:
    """Return the place at the end of a chain; when its element has a value, that of a new item of a list before it."""
    final = chain[-1]
    spot, last = place, None
    for field in chain[:-1]:
        if field.many:
            last = (spot, field)
        spot = opened(spot, field, job)
    if last is None or not spot.taken(final) or final.key in spot.opened:
        return spot
    last[0].opened.pop(last[1].key, None)
    return _reached(place, chain, job)


def climb(place: Place, base: str) -> Place:
    """Return the open place with a path."""
    while place.base != base and place.parent is not None:
        place = place.parent
    return place


def opened(place: Place, field: Field, job: Job) -> Place:
    """Return the object that rules have opened in a place, opening it when it is the first time."""
    known = place.opened.get(field.key)
    if known is None:
        base = f"{place.base}.{field.key}" if place.base else field.key
        held = place.target.get(field.key)
        path = f"{place.path}.{field.key}" if place.path else field.key
        if held is not None and not field.many:
            known = place.inner(field, base, path)
            known.target = held
        else:
            known = place.inner(field, base, place.at(field))
            place.put(field, known.target)
        place.opened[field.key] = known
        job.places.append(known)
    return known


def nested(plan: Plan, final: Field, base: str) -> Convert:
    """Convert an object by a plan; `base` is the path of what it becomes."""

    def convert(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        known = place.opened.get(final.key) if not final.many else None
        if known is not None:
            plan.run(value, Place(known.target, known.type, known.below, base, known.path, place), job, source)
            return known.target, None
        inner = place.inner(final, base, at)
        plan.run(value, inner, job, source)
        if not inner.target:
            return None, None
        job.places.append(inner)
        return inner.target, None

    return convert


def descended(plan: Plan) -> Step:
    """Go on with what is inside an element that has no object of its own in R4."""

    def step(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, twins, source):
            plan.run(value, place, job, path)

    return step


def merged(plan: Plan, base: str, *, alone: bool) -> Step:
    """Write an object into one that is open. `alone`: by the plan of a type, whose own paths start there."""

    def step(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, twins, source):
            spot = climb(place, base)
            if alone:
                spot = Place(spot.target, spot.type, spot.below, "", spot.path, spot.parent)
            plan.run(value, spot, job, path)

    return step
