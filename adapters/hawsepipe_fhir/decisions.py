"""Decisions that a row names with `via` and no `to`: one element of the source that several of R4 are made from.

Each is made once with a kit (the compiled moves that it may use) and gives a step. What a decision does not move is
counted lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hawsepipe import ConfigError
from hawsepipe_fhir import extensions
from hawsepipe_fhir.bench import Job, Json, Move, Place, Step, items, leaves

if TYPE_CHECKING:
    from hawsepipe_fhir.compiler import Kit

Decision = Callable[["Kit"], Step]

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
EPISODE = "http://hl7.org/fhir/StructureDefinition/workflow-episodeOfCare"
_EPISODE = re.compile(r"(?:.*/)?EpisodeOfCare/[^/]+(?:/_history/[^/]+)?$")


# -- status ----------------------------------------------------------------------------------------------------------


def _negation(status: str) -> Decision:
    """A boolean that says that it was not done is a status in R4; the status that stood there is kept."""

    def decision(kit: Kit) -> Step:
        url = extensions.url(kit.compiler.number, kit.scope.table, "status")

        def negate(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            if type(held) is bool:
                job.moved(source, _path(place, "status"), exact=False)
            if held is True:
                job.later.append(lambda: _override(place, job, status, url, _beside(source, "status")))

        return negate

    return decision


def _taken(kit: Kit) -> Step:
    """MedicationStatement.taken: `n` and `unk` are statuses in R4; the word itself is kept in any case."""
    url = extensions.url(kit.compiler.number, kit.scope.table, "status")
    keep = kit.keeper()
    status = {"n": "not-taken", "unk": "unknown"}

    def taken(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        keep(held, twins, place, job, source)
        if held in status:
            job.later.append(lambda: _override(place, job, status[held], url, _beside(source, "status")))

    return taken


def _override(place: Place, job: Job, code: str, url: str, source: str) -> None:
    """Write a status; the one that stood there becomes an extension of it."""
    old = place.target.get("status")
    place.target["status"] = code
    if old is None or old == code:
        return
    held = place.target.setdefault("_status", {}).setdefault("extension", [])
    held.append({"url": url, "valueCode": old})
    at = _path(place, "status")
    kept = f"{at}.extension[{len(held) - 1}].valueCode"
    for index, move in enumerate(job.moves):
        if move.source == source and move.target == at:
            job.moves[index] = Move(source, kept, move.exact)


_GOALS: Mapping[str, tuple[str, str]] = {
    "in-progress": ("active", "in-progress"),
    "on-target": ("active", ""),
    "ahead-of-target": ("active", ""),
    "behind-target": ("active", ""),
    "sustaining": ("active", "sustaining"),
    "achieved": ("completed", "achieved"),
}


def _goal_status(kit: Kit) -> Step:
    """Goal.status says two things in one; in R4 they are lifecycleStatus and achievementStatus."""
    plain = kit.mover("lifecycleStatus")
    url = extensions.url(kit.compiler.number, kit.scope.table, "status")

    def status(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if held not in _GOALS:
            plain(held, twins, place, job, source)
            return
        life, achievement = _GOALS[held]
        at = _path(place, "lifecycleStatus")
        place.target["lifecycleStatus"] = life
        if achievement:
            coding = {"system": f"{TERMINOLOGY}goal-achievement", "code": achievement}
            place.target["achievementStatus"] = {"coding": [coding]}
            at = _path(place, "achievementStatus.coding[0].code")
            job.moved(source, at, exact=achievement == held)
        else:
            place.target["_lifecycleStatus"] = {"extension": [{"url": url, "valueCode": held}]}
            job.moved(source, f"{at}.extension[0].valueCode")
        twin = extensions.element(kit.compiler, twins, at, place, job, source)
        if twin and not achievement:
            job.lose(source, "the extensions of this status have no place in R4")

    return status


def _study_availability(kit: Kit) -> Step:
    """ImagingStudy.availability: a study that can be had at once or soon is available."""
    known = {"ONLINE": "available", "NEARLINE": "available", "OFFLINE": "registered", "UNAVAILABLE": "registered"}
    keep = kit.keeper()

    def availability(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if held in known and not twins and "status" not in place.target:
            place.target["status"] = known[held]
            job.moved(source, _path(place, "status"), exact=False)
        else:
            keep(held, twins, place, job, source)

    return availability


# -- references ------------------------------------------------------------------------------------------------------


def _context(kit: Kit) -> Step:
    """A context is an encounter, or an episode of care, which R4 has as an extension."""
    encounter = kit.mover("encounter")
    episode = kit.keeper(url=EPISODE)

    def context(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, twin, path in items(held, twins, source):
            reference = value.get("reference") if type(value) is dict else None
            chosen = episode if type(reference) is str and _EPISODE.match(reference) else encounter
            chosen(value, twin, place, job, path)

    return context


def _payee_organization(kit: Kit) -> Step:
    """The organisation of a claim is its provider where nobody else is."""
    move, keep = kit.mover("provider"), kit.keeper()

    def organization(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            (keep if "provider" in place.target else move)(held, twins, place, job, source)

        job.later.append(settle)

    return organization


def _receiver(kit: Kit) -> Step:
    """MessageHeader.receiver is the receiver of the first destination."""
    compiler = kit.compiler
    slot = compiler.target.children("MessageHeader", "destination")["receiver"]
    convert = compiler.complex("Reference", slot)

    def receiver(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            destinations = place.target.setdefault("destination", [{}])
            inner = Place(destinations[0], "MessageHeader", "destination", "", _path(place, "destination[0]"), place)
            inner.put(slot, convert(held, None, inner.at(slot), inner, job, source)[0])
            job.places.append(inner)

        job.later.append(settle)

    return receiver


def _related(kit: Kit) -> Step:
    """Observation.related: members and sources have elements of their own in R4."""
    movers = {"has-member": kit.mover("hasMember", "target"), "derived-from": kit.mover("derivedFrom", "target")}
    keep = kit.keeper()

    def related(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, twins, source):
            kind = value.get("type") if type(value) is dict else None
            if kind in movers and value.keys() == {"type", "target"}:
                count = len(job.moves)
                movers[kind](value["target"], None, place, job, f"{path}.target")
                for move in job.moves[count : count + 1]:
                    job.moved(f"{path}.type", move.target, exact=False)
            else:
                keep(value, None, place, job, path)

    return related


# -- one element, several objects ------------------------------------------------------------------------------------

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
    at = _path(place, f"class[{len(classes)}]")
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
        root = _root(place)
        if type(held) is str:
            names = root.target.setdefault("deviceName", [])
            job.moved(source, _path(root, f"deviceName[{len(names)}].name"))
            names.append({"name": held, "type": "udi-label-name"})

    return name


_ALLERGIES: Mapping[str, tuple[str, str]] = {
    "active": ("active", ""),
    "unconfirmed": ("", "unconfirmed"),
    "confirmed": ("active", "confirmed"),
    "inactive": ("inactive", ""),
    "resolved": ("resolved", ""),
    "refuted": ("", "refuted"),
    "entered-in-error": ("", "entered-in-error"),
}


def _allergy_status(kit: Kit) -> Step:
    """The one status of an allergy in DSTU2 is a clinical status, a verification status or both."""
    keep = kit.keeper()

    def status(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if held not in _ALLERGIES or twins:
            keep(held, twins, place, job, source)
            return
        for name, system, code in (
            ("clinicalStatus", "allergyintolerance-clinical", _ALLERGIES[held][0]),
            ("verificationStatus", "allergyintolerance-verification", _ALLERGIES[held][1]),
        ):
            if code:
                place.target[name] = {"coding": [{"system": f"{TERMINOLOGY}{system}", "code": code}]}
                job.moved(source, _path(place, f"{name}.coding[0].code"), exact=code == held)

    return status


def _diagnosis(code: str) -> Decision:
    """A diagnosis of a stay, with its role."""

    def decision(kit: Kit) -> Step:
        compiler = kit.compiler
        slot = compiler.target.children("Encounter", "diagnosis")["condition"]
        convert = compiler.complex("Reference", slot)

        def diagnosis(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            root = _root(place)
            for value, _, path in items(held, None, source):
                held_there = root.target.setdefault("diagnosis", [])
                at = _path(root, f"diagnosis[{len(held_there)}]")
                made: Json = {"use": {"coding": [{"system": f"{TERMINOLOGY}diagnosis-role", "code": code}]}}
                inner = Place(made, "Encounter", "diagnosis", "", at, root)
                held_there.append(made)
                inner.put(slot, convert(value, None, inner.at(slot), inner, job, path)[0])
                job.places.append(inner)

        return diagnosis

    return decision


def _performer(code: str) -> Decision:
    """Somebody who took part in an immunization, with the function (table 0443)."""

    def decision(kit: Kit) -> Step:
        compiler = kit.compiler
        slot = compiler.target.children("Immunization", "performer")["actor"]
        convert = compiler.complex("Reference", slot)

        def performer(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            performers = place.target.setdefault("performer", [])
            at = _path(place, f"performer[{len(performers)}]")
            made: Json = {"function": {"coding": [{"system": f"{TERMINOLOGY}v2-0443", "code": code}]}}
            inner = Place(made, "Immunization", "performer", "", at, place)
            performers.append(made)
            inner.put(slot, convert(held, None, inner.at(slot), inner, job, source)[0])
            job.places.append(inner)

        return performer

    return decision


def _reported(kit: Kit) -> Step:
    """What was reported by others does not come from a primary source."""

    def reported(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["primarySource"] = not held
            job.moved(source, _path(place, "primarySource"), exact=False)

    return reported


def _prognosis(kit: Kit) -> Step:
    """A prognosis in words."""

    def prognosis(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is str:
            there = place.target.setdefault("prognosisCodeableConcept", [])
            job.moved(source, _path(place, f"prognosisCodeableConcept[{len(there)}].text"))
            there.append({"text": held})

    return prognosis


def _family(kit: Kit) -> Step:
    """Family names: R4 has one string."""

    def family(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        parts = [value for value in held if type(value) is str] if type(held) is list else []
        at = _path(place, "family")
        if parts:
            place.target["family"] = " ".join(parts)
        for value, twin, path in items(held, twins, source):
            if type(value) is str:
                job.moved(path, at, exact=len(parts) == 1)
            made = extensions.element(kit.compiler, twin, at, place, job, path)
            if made and "_family" not in place.target:
                place.target["_family"] = made
            elif made:
                job.lose(path, "R4 has one family name, which has the extensions of the first")

    return family


_PARTICIPANTS = {"enterer": "recorder", "author": "recorder", "informant": "asserter", "verifier": "asserter"}


def _participant(kit: Kit) -> Step:
    """A participant with a function is the recorder or the asserter of R4."""
    movers = {name: kit.mover(name, "actor") for name in ("recorder", "asserter")}
    keep = kit.keeper()

    def participant(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, None, source):
            codes = _codes(value.get("function")) if type(value) is dict else []
            name = next((_PARTICIPANTS[code] for code in codes if code in _PARTICIPANTS), None)
            if name is None or name in place.target or value.keys() != {"function", "actor"}:
                keep(value, None, place, job, path)
                continue
            movers[name](value["actor"], None, place, job, f"{path}.actor")
            for leaf in leaves(value["function"], f"{path}.function"):
                job.moved(leaf, _path(place, name), exact=False)

    return participant


def _codes(concept: Any) -> list[str]:
    codings = concept.get("coding") if type(concept) is dict else None
    found = [it.get("code") for it in codings if type(it) is dict] if type(codings) is list else []
    return [code for code in found if type(code) is str]


def _participant_required(kit: Kit) -> Step:
    """A participant is required or optional."""

    def required(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["required"] = "required" if held else "optional"
            job.moved(source, _path(place, "required"), exact=False)

    return required


def _payload_concept(kit: Kit) -> Step:
    """A concept that has only a text is a string in R4."""
    keep = kit.keeper()

    def concept(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is dict and held.keys() == {"text"} and type(held["text"]) is str:
            place.target["contentString"] = held["text"]
            job.moved(f"{source}.text", _path(place, "contentString"))
        else:
            keep(held, twins, place, job, source)

    return concept


def _consent_decision(kit: Kit) -> Step:
    """The base decision is the type of the root rule; each level of exceptions says the opposite of the one above."""
    move = kit.mover("provision.type")
    opposite = {"permit": "deny", "deny": "permit"}

    def decision(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            _alternate(place.target.get("provision"), held)

        def _alternate(rule: Any, type_: Any) -> None:
            for exception in rule.get("provision", ()) if type(rule) is dict else ():
                exception["type"] = opposite[type_]
                _alternate(exception, opposite[type_])

        move(held, twins, place, job, source)
        if held in opposite:
            job.later.append(settle)

    return decision


_ADHERENCE = {"taking": "active", "not-taking": "not-taken", "stopped-taking": "stopped", "on-hold": "on-hold"}
_ADHERENCE |= {"taking-as-directed": "active", "taking-not-as-directed": "active", "stopped": "stopped"}
_ADHERENCE |= {"not-taking-on-hold": "on-hold", "on-hold-as-directed": "on-hold", "stopped-taking-as-directed": "stopped"}


def _adherence(kit: Kit) -> Step:
    """Whether a medication is taken is part of its status in R4; what R5 says of it is kept in any case."""
    keep = kit.keeper()
    url = extensions.url(kit.compiler.number, kit.scope.table, "status")

    def adherence(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        keep(held, twins, place, job, source)
        codes = _codes(held.get("code")) if type(held) is dict else []
        status = next((_ADHERENCE[code] for code in codes if code in _ADHERENCE), None)

        def settle() -> None:
            if status is not None and place.target.get("status") == "unknown":
                place.target["status"] = status

        job.later.append(settle)

    return adherence


def _membership(kit: Kit) -> Step:
    """A group is enumerated (its members are actual) or defined by what they have in common."""
    known = {"enumerated": True, "definitional": False}
    keep = kit.keeper()

    def membership(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if held in known and not twins:
            place.target["actual"] = known[held]
            job.moved(source, _path(place, "actual"), exact=False)
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
                job.moved(source, _path(place, "period"))
            else:
                keep(held, twins, place, job, source)

        job.later.append(settle)

    return interval


def _root(place: Place) -> Place:
    while place.base and place.parent is not None:
        place = place.parent
    return place


def _idempotent(kit: Kit) -> Step:
    """An operation that is idempotent affects no state."""

    def idempotent(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["affectsState"] = not held
            job.moved(source, _path(place, "affectsState"), exact=False)

    return idempotent


def _has_answer(kit: Kit) -> Step:
    """A question that has any answer: the operator `exists`."""

    def has_answer(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool and not any(key.startswith("answer") for key in place.target):
            place.target["operator"] = "exists"
            place.target["answerBoolean"] = held
            job.moved(source, _path(place, "answerBoolean"))

    return has_answer


def _definition_context(kit: Kit) -> Step:
    """StructureDefinition.contextType is said of each context in R4."""
    known = {"resource": "element", "datatype": "element", "extension": "extension"}

    def context_type(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            for index, context in enumerate(place.target.get("context", ())):
                if held in known:
                    context["type"] = known[held]
                    if not index:
                        job.moved(source, _path(place, "context[0].type"), exact=known[held] == held)

        job.later.insert(0, settle)

    return context_type


def _definition_context_expression(kit: Kit) -> Step:
    """StructureDefinition.context: each path is the expression of a context of its own."""

    def context(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        contexts = place.target.setdefault("context", [])
        for value, _, path in items(held, None, source):
            at = _path(place, f"context[{len(contexts)}]")
            made = {"expression": value}
            contexts.append(made)
            job.moved(path, f"{at}.expression")
            job.places.append(Place(made, "StructureDefinition", "context", "", at, place))

    return context


def _path(place: Place, name: str) -> str:
    return f"{place.path}.{name}" if place.path else name


def _beside(source: str, name: str) -> str:
    head, dot, _ = source.rpartition(".")
    return f"{head}{dot}{name}"


DECISIONS: Mapping[str, Decision] = {
    "adherence": _adherence,
    "admitting-diagnosis": _diagnosis("AD"),
    "allergy-status": _allergy_status,
    "answer-constraint": _answer_constraint,
    "consent-decision": _consent_decision,
    "context": _context,
    "coverage-group": _coverage_class("group"),
    "coverage-grouping": _coverage_grouping,
    "coverage-plan": _coverage_class("plan"),
    "coverage-sequence": _coverage_class("sequence"),
    "coverage-subplan": _coverage_class("subplan"),
    "declined": _negation("declined"),
    "definition-context": _definition_context,
    "definition-context-expression": _definition_context_expression,
    "discharge-diagnosis": _diagnosis("DD"),
    "family": _family,
    "goal-status": _goal_status,
    "has-answer": _has_answer,
    "idempotent": _idempotent,
    "immunization-performer": _performer("AP"),
    "immunization-requester": _performer("OP"),
    "interval": _interval,
    "membership": _membership,
    "not-done": _negation("not-done"),
    "not-taken": _negation("not-taken"),
    "participant": _participant,
    "participant-required": _participant_required,
    "payee-organization": _payee_organization,
    "payload-concept": _payload_concept,
    "prognosis": _prognosis,
    "receiver": _receiver,
    "related": _related,
    "reported": _reported,
    "study-availability": _study_availability,
    "taken": _taken,
    "udi-name": _udi_name,
}
"""Decisions by the name that a row gives them."""


def named(name: str) -> Decision:
    """Return a decision by its name. Raises ConfigError when nothing is called so."""
    try:
        return DECISIONS[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
