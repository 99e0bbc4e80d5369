"""Decisions about who and what is referred to: contexts, participants, performers, relations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hawsepipe_fhir.bench import Job, Json, Place, Step, items, leaves
from hawsepipe_fhir.kit import TERMINOLOGY, Decision, Kit, codes_of, path_to, root_of, word

EPISODE = "http://hl7.org/fhir/StructureDefinition/workflow-episodeOfCare"
_EPISODE = re.compile(r"(?:.*/)?EpisodeOfCare/[^/]+(?:/_history/[^/]+)?$")


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
    workshop = kit.workshop
    slot = workshop.target.children("MessageHeader", "destination")["receiver"]
    convert = workshop.complex("Reference", slot)

    def receiver(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        def settle() -> None:
            destinations = place.target.setdefault("destination", [{}])
            inner = Place(destinations[0], "MessageHeader", "destination", "", path_to(place, "destination[0]"), place)
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
            kind = word(value.get("type")) if type(value) is dict else ""
            if kind in movers and value.keys() == {"type", "target"}:
                count = len(job.moves)
                movers[kind](value["target"], None, place, job, f"{path}.target")
                for move in job.moves[count : count + 1]:
                    job.moved(f"{path}.type", move.target, exact=False)
            else:
                keep(value, None, place, job, path)

    return related


def _performer(code: str) -> Decision:
    """Somebody who took part in an immunization, with the function (table 0443)."""

    def decision(kit: Kit) -> Step:
        workshop = kit.workshop
        slot = workshop.target.children("Immunization", "performer")["actor"]
        convert = workshop.complex("Reference", slot)

        def performer(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            performers = place.target.setdefault("performer", [])
            at = path_to(place, f"performer[{len(performers)}]")
            made: Json = {"function": {"coding": [{"system": f"{TERMINOLOGY}v2-0443", "code": code}]}}
            inner = Place(made, "Immunization", "performer", "", at, place)
            performers.append(made)
            inner.put(slot, convert(held, None, inner.at(slot), inner, job, source)[0])
            job.places.append(inner)

        return performer

    return decision


def _diagnosis(code: str) -> Decision:
    """A diagnosis of a stay, with its role."""

    def decision(kit: Kit) -> Step:
        workshop = kit.workshop
        slot = workshop.target.children("Encounter", "diagnosis")["condition"]
        convert = workshop.complex("Reference", slot)

        def diagnosis(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
            root = root_of(place)
            for value, _, path in items(held, None, source):
                held_there = root.target.setdefault("diagnosis", [])
                at = path_to(root, f"diagnosis[{len(held_there)}]")
                made: Json = {"use": {"coding": [{"system": f"{TERMINOLOGY}diagnosis-role", "code": code}]}}
                inner = Place(made, "Encounter", "diagnosis", "", at, root)
                held_there.append(made)
                inner.put(slot, convert(value, None, inner.at(slot), inner, job, path)[0])
                job.places.append(inner)

        return diagnosis

    return decision


_PARTICIPANTS = {"enterer": "recorder", "author": "recorder", "informant": "asserter", "verifier": "asserter"}


def _participant(kit: Kit) -> Step:
    """A participant with a function is the recorder or the asserter of R4."""
    movers = {name: kit.mover(name, "actor") for name in ("recorder", "asserter")}
    keep = kit.keeper()

    def participant(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, None, source):
            codes = codes_of(value.get("function")) if type(value) is dict else []
            name = next((_PARTICIPANTS[code] for code in codes if code in _PARTICIPANTS), None)
            if name is None or name in place.target or value.keys() != {"function", "actor"}:
                keep(value, None, place, job, path)
                continue
            movers[name](value["actor"], None, place, job, f"{path}.actor")
            for leaf in leaves(value["function"], f"{path}.function"):
                job.moved(leaf, path_to(place, name), exact=False)

    return participant


def _participant_required(kit: Kit) -> Step:
    """A participant is required or optional."""

    def required(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        if type(held) is bool:
            place.target["required"] = "required" if held else "optional"
            job.moved(source, path_to(place, "required"), exact=False)

    return required


def _attester(kit: Kit) -> Step:
    """Who attested a document professionally is its authenticator."""
    move, keep = kit.mover("authenticator", "party"), kit.keeper()

    def attester(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, None, source):
            mode = value.get("mode") if type(value) is dict else None
            if "authenticator" in place.target or "professional" not in codes_of(mode) or value.keys() != _ATTESTED:
                keep(value, None, place, job, path)
                continue
            move(value["party"], None, place, job, f"{path}.party")
            for leaf in leaves(mode, f"{path}.mode"):
                job.moved(leaf, path_to(place, "authenticator"), exact=False)

    return attester


_ATTESTED = {"mode", "party"}
_CONTRIBUTORS = frozenset({"author", "editor", "reviewer", "endorser"})


def _contributor(kit: Kit) -> Step:
    """A contributor of a kind is a contact of this kind; one who can be reached is kept whole."""
    keep = kit.keeper()

    def contributor(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, None, source):
            kind = word(value.get("type")) if type(value) is dict else ""
            if kind not in _CONTRIBUTORS or value.keys() != {"type", "name"} or type(value["name"]) is not str:
                keep(value, None, place, job, path)
                continue
            there = place.target.setdefault(kind, [])
            at = path_to(place, f"{kind}[{len(there)}]")
            there.append({"name": value["name"]})
            job.moved(f"{path}.name", f"{at}.name")
            job.moved(f"{path}.type", at, exact=False)

    return contributor


_PLANS = {"fulfills": "basedOn", "replaces": "replaces"}


def _related_plan(kit: Kit) -> Step:
    """A plan that this one fulfils or replaces has an element of its own."""
    movers = {code: kit.mover(to, "plan") for code, to in _PLANS.items()}
    keep = kit.keeper()

    def related(held: Any, twins: Any, place: Place, job: Job, source: str) -> None:
        for value, _, path in items(held, None, source):
            code = word(value.get("code")) if type(value) is dict else ""
            if code not in movers or value.keys() != {"code", "plan"}:
                keep(value, None, place, job, path)
                continue
            count = len(job.moves)
            movers[code](value["plan"], None, place, job, f"{path}.plan")
            for move in job.moves[count : count + 1]:
                job.moved(f"{path}.code", move.target, exact=False)

    return related


DECISIONS: Mapping[str, Decision] = {
    "admitting-diagnosis": _diagnosis("AD"),
    "attester": _attester,
    "context": _context,
    "contributor": _contributor,
    "discharge-diagnosis": _diagnosis("DD"),
    "immunization-performer": _performer("AP"),
    "immunization-requester": _performer("OP"),
    "participant": _participant,
    "participant-required": _participant_required,
    "payee-organization": _payee_organization,
    "receiver": _receiver,
    "related": _related,
    "related-plan": _related_plan,
}
