"""Decisions that put one element in another form: several objects, the opposite, one string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hawsepipe_fhir.bench import Job, Json, Place, Step, items
from hawsepipe_fhir.kit import TERMINOLOGY, Decision, Kit, path_to, root_of, word

_GROUPS = {
    "group": "group",
    "subGroup": "subgroup",
    "plan": "plan",
    "subPlan": "subplan",
    "class": "class",
    "subClass": "subclass",
}


def _classed(place: Place, code: str, parts: Json, job: Job, sources: Mapping[str, str]) -> None:
    classes = place.target.setdefault("class", [])
    at = path_to(place, f"class[{len(classes)}]")
    held = {"type": {"coding": [{"system": f"{TERMINOLOGY}coverage-class", "code": code}]}, **parts}
    classes.append(held)
    job.places.append(Place(held, "Coverage", "class", "", at, place))
    for key, source in sources.items():
        job.moved(source, f"{at}.{key}", exact=type(parts[key]) is str)


def _coverage_grouping(kit: Kit) -> Step:
    """Each level of Coverage.grouping is a class in R4."""

    def grouping(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for key, code in _GROUPS.items() if type(held) is dict else ():
            parts: Json = {}
            sources: dict[str, str] = {}
            for name, target in ((key, "value"), (f"{key}Display", "name")):
                if type(held.get(name)) is str:
                    parts[target] = held[name]
                    sources[target] = f"{source}.{name}"
            if parts:
                _classed(place, code, parts, job, sources)

    return grouping


def _coverage_class(code: str) -> Decision:
    def decision(kit: Kit) -> Step:
        def classed(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            if held is not None:
                _classed(place, code, {"value": str(held)}, job, {"value": source})

        return classed

    return decision


def _udi_name(kit: Kit) -> Step:
    """The name in a UDI is one of the device's names."""

    def name(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        root = root_of(place)
        if type(held) is str:
            names = root.target.setdefault("deviceName", [])
            job.moved(source, path_to(root, f"deviceName[{len(names)}].name"))
            names.append({"name": held, "type": "udi-label-name"})

    return name


def _idempotent(kit: Kit) -> Step:
    """An operation that is idempotent affects no state."""

    def idempotent(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["affectsState"] = not held
            job.moved(source, path_to(place, "affectsState"), exact=False)

    return idempotent


def _has_answer(kit: Kit) -> Step:
    """A question that has any answer: the operator `exists`."""
    keep = kit.keeper()

    def has_answer(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            if type(held) is not bool or twins or any(key.startswith("answer") for key in place.target):
                keep(held, twins, place, job, source)
                return
            place.target["operator"] = "exists"
            place.target["answerBoolean"] = held
            job.moved(source, path_to(place, "answerBoolean"))

        job.later.append(settle)

    return has_answer


def _definition_context(kit: Kit) -> Step:
    """StructureDefinition.contextType is said of each context in R4."""
    known = {"resource": "element", "datatype": "element", "extension": "extension"}
    keep = kit.keeper()

    def context_type(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            contexts = place.target.get("context", ())
            if word(held) not in known or not contexts:
                keep(held, twins, place, job, source)
                return
            for context in contexts:
                context["type"] = known[held]
            job.moved(source, path_to(place, "context[0].type"), exact=known[held] == held)

        job.later.append(settle)

    return context_type


def _definition_context_expression(kit: Kit) -> Step:
    """StructureDefinition.context: each path is the expression of a context of its own."""

    def context(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        contexts = place.target.setdefault("context", [])
        for value, _, path in items(held, None, source):
            at = path_to(place, f"context[{len(contexts)}]")
            made = {"expression": value}
            contexts.append(made)
            job.moved(path, f"{at}.expression")
            job.places.append(Place(made, "StructureDefinition", "context", "", at, place))

    return context


def _reported(kit: Kit) -> Step:
    """What was reported by others does not come from a primary source."""

    def reported(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["primarySource"] = not held
            job.moved(source, path_to(place, "primarySource"), exact=False)

    return reported


def _prognosis(kit: Kit) -> Step:
    """A prognosis in words."""

    def prognosis(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is str:
            there = place.target.setdefault("prognosisCodeableConcept", [])
            job.moved(source, path_to(place, f"prognosisCodeableConcept[{len(there)}].text"))
            there.append({"text": held})

    return prognosis


def _event_description(kit: Kit) -> Step:
    """What happened in words is the text of the event where it is not coded."""
    keep = kit.keeper()

    def description(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            if type(held) is not str or twins or "event" in place.target:
                keep(held, twins, place, job, source)
                return
            place.target["event"] = {"text": held}
            job.moved(source, path_to(place, "event.text"))

        job.later.append(settle)

    return description


def _family(kit: Kit) -> Step:
    """Family names: R4 has one string."""

    def family(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        parts = [value for value in held if type(value) is str] if type(held) is list else []
        at = path_to(place, "family")
        if parts:
            place.target["family"] = " ".join(parts)
        inner = Place({}, "Element", "", "", at, place)
        for value, twin, path in items(held, twins, source):
            if type(value) is str:
                job.moved(path, at, exact=len(parts) == 1)
            if twin:
                kit.workshop.element.run(twin, inner, job, path)
        if inner.target:
            place.target["_family"] = inner.target

    return family


def _payload_concept(kit: Kit) -> Step:
    """A concept that has only a text is a string in R4."""
    keep = kit.keeper()

    def concept(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is dict and held.keys() == {"text"} and type(held["text"]) is str:
            place.target["contentString"] = held["text"]
            job.moved(f"{source}.text", path_to(place, "contentString"))
        else:
            keep(held, twins, place, job, source)

    return concept


def _membership(kit: Kit) -> Step:
    """A group is enumerated (its members are actual) or defined by what they have in common."""
    known = {"enumerated": True, "definitional": False}
    keep = kit.keeper()

    def membership(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if word(held) in known and not twins:
            place.target["actual"] = known[held]
            job.moved(source, path_to(place, "actual"), exact=False)
        else:
            keep(held, twins, place, job, source)

    return membership


def _answer_constraint(kit: Kit) -> Step:
    """A choice that takes other answers is an open choice; the constraint itself is kept."""
    keep = kit.keeper()

    def constraint(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        keep(held, twins, place, job, source)

        def settle() -> None:
            if held == "optionsOrString" and place.target.get("type") == "choice":
                place.target["type"] = "open-choice"

        job.later.append(settle)

    return constraint


def _interval(kit: Kit) -> Step:
    """The interval between samples: R4 has it in milliseconds."""
    keep = kit.keeper()

    def interval(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            there = place.target.get("extension", ())
            unit = next((it.get("valueCode") for it in there if it["url"].endswith("SampledData.intervalUnit")), None)
            if unit == "ms" and not twins:
                place.target["period"] = held
                job.moved(source, path_to(place, "period"))
            else:
                keep(held, twins, place, job, source)

        job.later.append(settle)

    return interval


DECISIONS: Mapping[str, Decision] = {
    "answer-constraint": _answer_constraint,
    "coverage-group": _coverage_class("group"),
    "coverage-grouping": _coverage_grouping,
    "coverage-plan": _coverage_class("plan"),
    "coverage-sequence": _coverage_class("sequence"),
    "coverage-subplan": _coverage_class("subplan"),
    "definition-context": _definition_context,
    "definition-context-expression": _definition_context_expression,
    "event-description": _event_description,
    "family": _family,
    "has-answer": _has_answer,
    "idempotent": _idempotent,
    "interval": _interval,
    "membership": _membership,
    "payload-concept": _payload_concept,
    "prognosis": _prognosis,
    "reported": _reported,
    "udi-name": _udi_name,
}
