"""Values put into objects, and taken out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hawsepipe import Severity
from hawsepipe_fhir import extensions, primitives
from hawsepipe_fhir.bench import Convert, Job, Json, Note, Place
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.workshop import Workshop


def _slot(workshop: Workshop, type: str, key: str) -> Field:
    return workshop.target.children(type, "")[key]


def concept(workshop: Workshop, final: Field) -> Convert:
    """A Coding as the only coding of a CodeableConcept."""
    inner = workshop.complex("Coding", _slot(workshop, "CodeableConcept", "coding"))

    def concept(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        holder = Place({}, "CodeableConcept", "", "", at, place)
        made, _ = inner(value, None, f"{at}.coding[0]", holder, job, source)
        return ({"coding": [made]} if made else None), None

    return concept


def coding(workshop: Workshop, field: Field, final: Field) -> Convert:
    """A CodeableConcept as its first coding; one with more stays as an extension of it as well."""
    whole = workshop.complex("CodeableConcept", _slot(workshop, "Extension", "valueCodeableConcept"))
    url = extensions.url(workshop.number, field.owner, field.element)
    inner = workshop.complex("Coding", _slot(workshop, "CodeableConcept", "coding"))

    def coding(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        codings = value.get("coding") if type(value) is dict else None
        if type(codings) is list and len(codings) == 1 and value.keys() == {"coding"}:
            return inner(codings[0], None, at, place, job, f"{source}.coding[0]")
        kept, _ = whole(value, None, f"{at}.extension[0].valueCodeableConcept", place, job, source)
        if not kept:
            return None, None
        first: Json = next(iter(kept.get("coding", ())), {})
        told = {key: held for key, held in first.items() if key not in ("id", "extension")}
        return {"extension": [{"url": url, "valueCodeableConcept": kept}], **told}, None

    return coding


def address(workshop: Workshop) -> Convert:
    """A Reference as its address; its display stays as R4's extension for one."""

    def address(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        new: str | None = None
        if type(value) is not dict:
            job.lose(source, "is not an object in the source", Severity.ERROR)
            return None, None
        if type(value.get("reference")) is str:
            new = job.rename(value["reference"])
            job.moved(f"{source}.reference", at, exact=new == value["reference"])
        if type(value.get("display")) is str:
            url = "http://hl7.org/fhir/StructureDefinition/display"
            twin = {"extension": [{"url": url, "valueString": value["display"]}]}
            job.moved(f"{source}.display", f"{at}.extension[0].valueString")
        return new, twin

    return address


def held(key: str, type: str) -> Callable[[Workshop, Field, Field], Convert]:
    """Put a value into one element of an object: {key: value}. `key` may be a list of the target (`coding`)."""

    def factory(workshop: Workshop, field: Field, final: Field) -> Convert:
        slot = _slot(workshop, type, key)
        inner = primitives.same(workshop) if field.primitive else workshop.complex(field.type, slot)

        def hold(
            value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
        ) -> tuple[Any, Json | None]:
            holder = Place({}, type, "", "", at, place)
            made, twin = inner(value, twin, holder.at(slot), holder, job, source)
            holder.put(slot, made, twin)
            return holder.target or None, None

        return hold

    return factory


def taken(key: str, type: str) -> Callable[[Workshop, Field, Field], Convert]:
    """Take one primitive element of an object; an object with more stays as an extension of it as well."""

    def factory(workshop: Workshop, field: Field, final: Field) -> Convert:
        inner = primitives.same(workshop)
        whole = workshop.complex(type, _slot(workshop, "Extension", f"value{type}"))
        url = extensions.url(workshop.number, field.owner, field.element)

        def take(
            value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str
        ) -> tuple[Any, Json | None]:
            if not isinstance(value, dict) or not value.keys() - {key}:
                held = value if isinstance(value, dict) else {}
                return inner(held.get(key), None, at, place, job, f"{source}.{key}")
            made, _ = whole(value, None, f"{at}.extension[0].value{type}", place, job, source)
            return (made or {}).get(key), {"extension": [{"url": url, f"value{type}": made}]}

        return take

    return factory


def code_of(workshop: Workshop, field: Field, final: Field) -> Convert:
    """The code of a CodeableConcept, if R4 knows it; the whole concept stays as an extension of the code."""
    slot = _slot(workshop, "Extension", "valueCodeableConcept")
    concept = workshop.complex("CodeableConcept", slot)
    url = extensions.url(workshop.number, field.owner, field.element)
    allowed = frozenset().union(*final.codes.values()) if final.codes else None

    def code_of(value: Any, twin: Json | None, at: str, place: Place, job: Job, source: str) -> tuple[Any, Json | None]:
        kept, _ = concept(value, None, f"{at}.extension[0].valueCodeableConcept", place, job, source)
        codes = [it.get("code") for it in (kept or {}).get("coding", ())]
        code = next((it for it in codes if type(it) is str and (allowed is None or it in allowed)), None)
        if code is None:
            job.notes.append(Note(at, "R4 has no such code; the source's is in an extension", Severity.WARNING))
        return code, {"extension": [{"url": url, "valueCodeableConcept": kept}]} if kept else None

    return code_of
