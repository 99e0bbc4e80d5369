"""Specimens and their containers: SPM, SAC, what OBR tells of a specimen; which results are of which specimen."""

from __future__ import annotations

from typing import Any

from hawsepipe import Method
from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Group, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.orders import NUMBER_TYPES, place_of, reports
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.primitives import date_time_value

_CONCEPT = concept()
_ADDITIVE = concept("Additive")
_FASTING = frozenset({"F", "NF", "NG"})
_RELEVANT = "http://terminology.hl7.org/CodeSystem/v2-0916"
_LABORATORY_ORDERS = frozenset({"OML", "OUL", "ORL"})


def specimen(bench: Bench, segment: Segment) -> str | None:
    """A Specimen: SPM-2 (the filler's part, else the placer's), else the report or order and SPM-1."""
    for part in (2, 1):
        if segment.text(2, part):
            key = f"{bench.facility}|{segment.text(2, part)}"
            told = segment.fields[2:]
            if bench.cache.setdefault(("specimen told", key), told) == told:
                return key
            bench.warn("structure", f"{segment.label}-2", "a number that an earlier, different specimen has")
            return bench.distinct("Specimen", f"{key}|differs")
    home = bench.group.role("report") or bench.group.role("order")
    return bench.distinct("Specimen", f"{home.id if home else bench.subject()}|{segment.text(1)}")


def of_request(bench: Bench, _segment: Segment) -> str | None:
    """The Specimen that OBR tells of: the one of the SPM that belongs to it, else one of this order."""
    known = of_order(bench, bench.group)
    if known:
        return known[0].key
    home = bench.group.role("report") or bench.group.role("order")
    return f"{home.id}|" if home is not None else None


def of_order(bench: Bench, group: Group) -> list[Draft]:
    """Return the specimens of an order: those inside its group, else the one that it hangs on."""
    known: list[Draft] = bench.cache.get(("specimens", place_of(group)), [])
    if not known and (around := group.role("specimen")) is not None:
        return [around]
    return known


def register(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Note the specimen as one of its order."""
    order = bench.group.around("order")
    if segment.name == "SPM":
        bench.cache.setdefault(("specimen segment", draft.url), segment)
    if order is not None:
        known = bench.cache.setdefault(("specimens", place_of(order)), [])
        if draft not in known:
            known.append(draft)
    home = bench.group.role("report")
    if home is not None:
        home.put("specimen[]", draft.reference, f"{segment.label}-2" if segment.name == "SPM" else segment.label)
    request = bench.group.role("order")
    if request is not None and order is not None and not reports(bench, segment):
        request.put("specimen[]", draft.reference)


def shared(bench: Bench, draft: Draft, _segment: Segment) -> None:
    """Say which specimen an order's results are of, when it is one.

    Without a specimen of its own an order has that of the order it comes of (OBR-29), or of the same placer number:
    a panel is often reported in parts, and its specimen told with the first.
    """
    group = bench.group
    known = of_order(bench, group) or _inherited(bench, draft, group)
    for one in known:
        if draft.type == "DiagnosticReport" or not reports(bench, _segment):
            draft.put("specimen[]", one.reference)
    if len(known) == 1:
        for observation in bench.cache.get(("observations", place_of(group)), ()):
            observation.body.setdefault("specimen", known[0].reference)


def _inherited(bench: Bench, draft: Draft, group: Group) -> list[Draft]:
    parent = bench.cache.get(("parent", place_of(group)))
    numbers = [one["value"] for one in draft.body.get("identifier", ()) if "value" in one and _is_placer(one)]
    by_parent: list[Draft] = bench.cache.get(("specimens of", parent.url), []) if parent is not None else []
    by_number: list[Draft] = []
    for value in numbers:
        for one in bench.cache.get(("specimens numbered", value), ()):
            if one not in by_number:
                by_number.append(one)
    return by_parent or (by_number if len(by_number) == 1 else [])


def _is_placer(identifier: dict[str, Any]) -> bool:
    return bool(identifier.get("type") == {"coding": [{"system": NUMBER_TYPES, "code": "PLAC"}]})


def numbered(bench: Bench, draft: Draft, _segment: Segment) -> None:
    """Note the specimens of an order under its numbers, for orders that come without one."""
    known = of_order(bench, bench.group)
    if not known:
        return
    bench.cache["specimens of", draft.url] = known
    for one in draft.body.get("identifier", ()):
        if _is_placer(one):
            bench.cache.setdefault(("specimens numbered", one.get("value")), []).extend(known)


def collected(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SPM-17 (DR), or OBR-7 and OBR-8: a moment, or a period when it has an end."""
    if any(key.lstrip("_").startswith("collected") for key in draft.body.get("collection", ())):
        return
    if segment.name == "OBR":
        start, end = segment.field(7), segment.field(8)
        sources = f"{segment.label}-7", f"{segment.label}-8"
    else:
        mark = segment.delimiters.component
        start, end = [*(segment.repetitions(17) or [""])[0].split(mark), ""][:2]
        sources = f"{segment.label}-17.1", f"{segment.label}-17.2"
    if end and end != DELETE:
        draft.put_converted("collection.collectedPeriod.start", date_time_value(bench, start, sources[0]))
        draft.put_converted("collection.collectedPeriod.end", date_time_value(bench, end, sources[1]))
    else:
        draft.put_converted("collection.collectedDateTime", date_time_value(bench, start, sources[0]))


def fasting(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-13 of table 0916: whether the patient had fasted. Other relevant information is the order's."""
    for index, raw in enumerate(segment.repetitions(13)):
        if not is_fasting(bench, raw):
            continue
        where = f"{segment.label}-13" + (f"[{index + 1}]" if index else "")
        made = _CONCEPT(bench, raw, where)
        if made is not None:
            made[0]["coding"][0].setdefault("system", _RELEVANT)
            draft.put_converted("collection.fastingStatusCodeableConcept", made)


def is_fasting(bench: Bench, raw: str) -> bool:
    """Tell whether relevant information is a fasting status."""
    parts = [*bench.parts(raw), "", ""]
    return parts[0].upper() in _FASTING and parts[2].upper() in ("", "HL70916")


def relevant(bench: Bench, raw: str, where: str) -> Converted | None:
    """OBR-13 to an Observation of relevant information about the patient, unless it is a fasting status."""
    patient, order = bench.group.role("patient"), bench.group.role("order")
    converted = None if is_fasting(bench, raw) else _CONCEPT(bench, raw, where)
    if converted is None or patient is None or order is None:
        return None
    draft = bench.draft("Observation", f"{order.id}|relevant|{raw}", Method.PUT)
    draft.put("status", "final")
    draft.put("code", {"text": "Relevant clinical information"})
    draft.put("subject", patient.reference)
    draft.put_converted("valueCodeableConcept", converted)
    return draft.reference, [(".reference", where)]


def source(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-15 or SAC-6 (SPS): kind, additive, method, site and role of the specimen, as before SPM."""
    field = 15 if segment.name == "OBR" else 6
    for raw in segment.repetitions(field)[:1]:
        parts = raw.split(bench.component)
        where = f"{segment.label}-{field}"
        for at, path in ((0, "type"), (3, "collection.bodySite"), (5, "condition[]")):
            if at < len(parts) and parts[at] and not (path == "type" and "type" in draft.body):
                draft.put_converted(path, _CONCEPT(bench, bench.sub(parts[at]), f"{where}.{at + 1}"))
        if len(parts) > 1 and parts[1]:
            made = _ADDITIVE(bench, bench.sub(parts[1]), f"{where}.2")
            draft.put_converted("container[0].additiveCodeableConcept", made)
        for at, name in ((4, "site-modifier"), (6, "specimen-role")):
            made = _CONCEPT(bench, bench.sub(parts[at]), f"{where}.{at + 1}") if at < len(parts) else None
            if made is not None:
                extend(draft, name, "CodeableConcept", made)
        if len(parts) > 2 and (text := bench.text(parts[2])):
            draft.put_converted("note[]", ({"text": text}, [(".text", f"{where}.3")]))


_COUNTERPARTS = ((9, 12), (14, 18), (15, 4))
"""Volume, arrival and kind of a specimen: where OBR and where SPM tells them."""


def otherwise(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Keep what OBR tells of a specimen where SPM tells it otherwise, which counts."""
    known = bench.cache.get(("specimen segment", draft.url))
    if known is None:
        return
    for field, other in _COUNTERPARTS:
        if segment.field(field) and known.field(other) and segment.text(field) != known.text(other):
            leftovers.field(bench, draft, segment, field)


def extend(draft: Draft, name: str, suffix: str, made: Converted) -> None:
    """Append an extension of ours to a resource."""
    value = {"url": f"urn:hawsepipe:extension:{name}", f"value{suffix}": made[0]}
    draft.put_converted("extension[]", (value, [(f".value{suffix}{below}", source) for below, source in made[1]]))


def both_numbers(bench: Bench, draft: Draft, segment: Segment) -> None:
    """SPM-2 (EIP): the placer's (PLAC) and the filler's (FILL) number of the specimen."""
    for raw in segment.repetitions(2)[:1]:
        for value, leaves in _pair(bench, raw, f"{segment.label}-2"):
            draft.put_converted("identifier[]", (value, leaves))


def _pair(bench: Bench, raw: str, where: str) -> list[tuple[dict[str, Any], list[Leaf]]]:
    found = []
    for at, (part, code) in enumerate(zip(raw.split(bench.component), ("PLAC", "FILL"), strict=False)):
        value: dict[str, Any] = {}
        leaves = bench.site.converts["EI"](bench, bench.sub(part), f"{where}.{at + 1}", value) if part else []
        if "value" in value:
            value["type"] = {"coding": [{"system": NUMBER_TYPES, "code": code}]}
            found.append((value, leaves))
    return found


def named(bench: Bench, raw: str, where: str) -> Converted | None:
    """EIP to a Reference to the Specimen of these numbers."""
    pair = _pair(bench, raw, where)
    if not pair:
        return None
    draft = bench.mention("Specimen", f"{bench.facility}|{pair[-1][0]['value']}")
    for value, leaves in pair:
        draft.put_converted("identifier[]", (value, leaves))
    patient = bench.group.role("patient")
    if patient is not None:
        draft.put("subject", patient.reference)
    return draft.reference, [(".reference", where)]


def text_note(bench: Bench, raw: str, where: str) -> Converted | None:
    """A text to Annotation."""
    text = bench.text(raw)
    return ({"text": text}, [(".text", where)]) if text else None


def comment(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to Annotation: its text, else its code."""
    parts = [*bench.parts(raw), *[""] * 9]
    at = next((at for at in (8, 1, 0, 4, 3) if parts[at]), None)
    return ({"text": parts[at]}, [(".text", f"{where}.{at + 1}")]) if at is not None else None


def words(bench: Bench, raw: str, where: str) -> Converted | None:
    """A text to CodeableConcept."""
    text = bench.text(raw)
    return ({"text": text}, [(".text", where)]) if text else None


def of_observation(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBX-33: the specimen that this one result is of; several stay in extensions, R4 has one."""
    made = [
        one
        for index, raw in enumerate(segment.repetitions(33))
        if (one := named(bench, raw, f"{segment.label}-33" + (f"[{index + 1}]" if index else "")))
    ]
    if len(made) == 1:
        draft.put_converted("specimen", made[0])
        return
    for one in made:
        url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Observation.specimen"
        leaves = [(f".valueReference{below}", source) for below, source in one[1]]
        draft.put_converted("extension[]", ({"url": url, "valueReference": one[0]}, leaves))


def rejected(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """SPM-21: a specimen that was rejected is no satisfactory one, unless SPM-20 tells its status."""
    if segment.text(21):
        draft.put("status", "unsatisfactory", f"{segment.label}-21")


def collector(bench: Bench, draft: Draft, segment: Segment) -> None:
    """OBR-10: who collected the specimen; further ones stay beside, R4 has one."""
    for index, raw in enumerate(segment.repetitions(10)):
        made = practitioner(bench, raw, f"{segment.label}-10" + (f"[{index + 1}]" if index else ""))
        if made is not None and index == 0:
            draft.put_converted("collection.collector", made)
        elif made is not None:
            extend(draft, "further-collector", "Reference", made)


def is_specimen_observation(bench: Bench, _segment: Segment) -> bool:
    """The observation tells of the specimen, not of the patient: it follows SPM, and the order's own results came
    before. Where an order has no results before SPM, those that follow are its results in a wrong place."""
    home = bench.group.parent
    if home is None or home.name not in ("specimen", "container"):
        return False
    order = home.around("order")
    return order is None or bool(order.inside("observation"))


def told_by_request(bench: Bench, segment: Segment) -> bool:
    """OBR tells of a specimen: there is an SPM, or OBR has fields that only specimens have."""
    if of_order(bench, bench.group):
        return True
    if any(segment.text(number) for number in (9, 14, 15, 39)) or segment.text(10) or segment.text(10, 2):
        return True
    return bench.event.type in _LABORATORY_ORDERS and bool(segment.text(7))


IDENTITIES = {"specimen": specimen, "request-specimen": of_request}
DECISIONS = {
    "collector": collector,
    "fasting": fasting,
    "numbered-specimens": numbered,
    "observation-specimen": of_observation,
    "order-specimen": register,
    "order-specimens": shared,
    "specimen-collected": collected,
    "specimen-numbers": both_numbers,
    "specimen-otherwise": otherwise,
    "specimen-rejected": rejected,
    "specimen-source": source,
}
PREDICATES = {
    "specimen-observation": is_specimen_observation,
    "told-by-request": told_by_request,
}
CONVERTERS = {
    "CommentNote": comment,
    "NamedSpecimen": named,
    "RelevantInformation": relevant,
    "TextConcept": words,
    "TextNote": text_note,
}
"""Converters by the name that `via` uses."""
