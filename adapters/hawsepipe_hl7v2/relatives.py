"""NK1: a relative as a RelatedPerson, and every contact of the patient as Patient.contact."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.patients import identifier_key
from hawsepipe_hl7v2.people import organization
from hawsepipe_hl7v2.primitives import PRIMITIVES, code
from hawsepipe_hl7v2.telecom import contact_point

_ORGANIZATIONS = frozenset({"EMR", "E", "F", "I", "S"})
"""Relationships of NK1-3 that are organizations: employers, agencies, insurers."""
_RELATIONS: tuple[tuple[int, Convert], ...] = ((3, concept("Relationship")), (7, concept("ContactRole")))
_TELECOMS: tuple[tuple[int, Convert], ...] = (
    (5, contact_point()),
    (6, contact_point("work")),
    (40, contact_point()),
    (41, contact_point()),
)
_GENDER = code("AdministrativeSex")
_TELECOM = contact_point()


def relative(bench: Bench, segment: Segment) -> str | None:
    """NK1: by its own identifier (NK1-33, NK1-12), else by name and relationship with this patient.

    An organization without a person is no relative: see `contact`.
    """
    for number in (33, 12):
        if segment.text(number):
            return f"{bench.subject()}|{identifier_key(bench, segment.repetitions(number)[0])}"
    name = "|".join(segment.text(2, part).casefold() for part in (1, 2))
    if name == "|":
        if segment.text(3) in _ORGANIZATIONS or not any(segment.fields[2:]):
            return None
        name = (segment.text(30) or segment.label).casefold()
    organized = segment.text(13).casefold()
    return bench.distinct("RelatedPerson", f"{bench.subject()}|{name}|{organized}|{segment.text(3)}")


def contact(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write NK1 as a contact of the patient; it needs a name, an address, a telecom or an organization."""
    value: dict[str, Any] = {}
    leaves: list[Leaf] = []

    fields, converts = segment.fields, bench.site.converts
    count = len(fields)

    def add(name: str, via: Convert | None, type_: str, number: int, *, many: bool = False) -> None:
        if number >= count or not fields[number]:
            return
        for index, raw in enumerate(segment.repetitions(number)):
            if not raw or raw == DELETE or (index and not many):
                continue
            where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
            if via is not None:
                converted = via(bench, raw, where)
                if converted is None:
                    continue
                made, below = converted
            else:
                made = {}
                below = converts[type_](bench, raw, where, made)
                if not made:
                    continue
            if many:
                items = value.setdefault(name, [])
                at = f".{name}[{len(items)}]"
                for path, source in below:
                    leaves.append((at + path, source))
                items.append(made)
            elif isinstance(made, Twinned):
                value[f"_{name}"] = {"extension": [made.extension]}
            else:
                value[name] = made
                for path, source in below:
                    leaves.append((f".{name}{path}", source))

    for number, via in _RELATIONS:
        add("relationship", via, "", number, many=True)
    add("name", None, "XPN", 2)
    for number, via in _TELECOMS:
        add("telecom", via, "", number, many=True)
    add("address", None, "XAD", 4)
    add("gender", _GENDER, "", 15)
    add("organization", organization, "", 13)
    if "organization" in value:
        _organized(bench, value["organization"]["reference"], segment)
    for number, name in ((8, "start"), (9, "end")):
        if segment.field(number):
            moment = PRIMITIVES["dateTime"](bench, segment.field(number), f"{segment.label}-{number}")
            if moment is not None and isinstance(moment[0], str):
                value.setdefault("period", {})[name] = moment[0]
                leaves.append((f".period.{name}", f"{segment.label}-{number}"))
    if value.keys() & {"name", "telecom", "address", "organization"}:
        draft.put_converted("contact[]", (value, leaves))


def _organized(bench: Bench, url: str, segment: Segment) -> None:
    """NK1-30 to NK1-32: whom to ask for at the organization of NK1-13."""
    employer = bench.mentioned.get(url)
    if employer is None:
        return
    people, addresses = segment.repetitions(30), segment.repetitions(32)
    for index in range(max(len(people), len(addresses), 1)):
        value: dict[str, Any] = {}
        leaves: list[Leaf] = []
        for number, name, type_, sent in ((30, "name", "XPN", people), (32, "address", "XAD", addresses)):
            if index < len(sent) and sent[index]:
                where = f"{segment.label}-{number}" + (f"[{index + 1}]" if index else "")
                made: dict[str, Any] = {}
                below = bench.site.converts[type_](bench, sent[index], where, made)
                if made:
                    value[name] = made
                    leaves += [(f".{name}{path}", source) for path, source in below]
        if index == 0:
            _phones(bench, segment, value, leaves)
        if value:
            employer.put_converted("contact[]", (value, leaves))


def _phones(bench: Bench, segment: Segment, value: dict[str, Any], leaves: list[Leaf]) -> None:
    for index, raw in enumerate(segment.repetitions(31)):
        where = f"{segment.label}-31" + (f"[{index + 1}]" if index else "")
        if raw and (converted := _TELECOM(bench, raw, where)):
            items = value.setdefault("telecom", [])
            leaves += [(f".telecom[{len(items)}]{path}", source) for path, source in converted[1]]
            items.append(converted[0])


def has_no_organization(_bench: Bench, segment: Segment) -> bool:
    """NK1-13 is empty, so that the contact person of NK1-30 to 32 is nobody's but the relative's."""
    return not segment.text(13)


IDENTITIES = {"relative": relative}
DECISIONS = {"contact": contact}
PREDICATES = {"has-no-organization": has_no_organization}
