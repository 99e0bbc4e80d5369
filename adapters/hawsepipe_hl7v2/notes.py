"""NTE as Annotation, for resources whose R4 form has no note: as an extension, and as words where R4 has them."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.amounts import put_moment
from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX, note
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.people import practitioner
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, date_time_value

ANNOTATION_TYPE = "http://hl7.org/fhir/StructureDefinition/annotationType"
_CONCEPT = concept()
_SOURCE = 8
"""How long the code in NTE-2 (table 0105) may be; what is longer is no code."""


def annotation(bench: Bench, segment: Segment) -> Converted | None:
    """NTE to Annotation: NTE-3 (repetitions are lines, else NTE-9) as text, NTE-5 its author, NTE-6 its time, NTE-4 its
    kind, NTE-9 its code and a source (NTE-2) in words of the sender's own as extensions. None without a text."""
    label = segment.label
    text = "\n".join(bench.text(raw) for raw in segment.repetitions(3)).strip("\n")
    source = f"{label}-3"
    if not text.strip():
        text, source = segment.text(9, 9) or segment.text(9, 2) or segment.text(9), f"{label}-9"
    if not text and len(segment.text(2)) > _SOURCE:
        bench.warn("structure", f"{label}-2", "a text where the kind of its source belongs; taken as the comment")
        text, source = segment.text(2), f"{label}-2"
    if not text:
        return None
    made: dict[str, Any] = {}
    leaves: list[Leaf] = []
    for field, url in ((4, ANNOTATION_TYPE), (9, ALTERNATE_CODES)):
        for raw in segment.repetitions(field)[:1]:
            converted = _CONCEPT(bench, raw, f"{label}-{field}")
            if converted is not None:
                at = len(made.setdefault("extension", []))
                made["extension"].append({"url": url, "valueCodeableConcept": converted[0]})
                leaves += [(f".extension[{at}].valueCodeableConcept{below}", origin) for below, origin in converted[1]]
    if source != f"{label}-2" and len(kind := segment.text(2)) > 1:
        at = note(made, "note-source", "String", kind)
        leaves.append((f".extension[{at}].valueString", f"{label}-2"))
    for raw in segment.repetitions(5)[:1]:
        author = practitioner(bench, raw, f"{label}-5")
        if author is not None:
            made["authorReference"] = author[0]
            leaves += [(f".authorReference{below}", origin) for below, origin in author[1]]
    put_moment(made, "time", date_time_value(bench, segment.field(6), f"{label}-6"), leaves)
    made["text"] = text
    leaves.append((".text", source))
    return made, leaves


def resource_note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE as a note of a resource that has notes in R4."""
    draft.put_converted("note[]", annotation(bench, segment))


def extension_note(bench: Bench, draft: Draft, segment: Segment) -> None:
    """NTE as a note of a resource that has none in R4: in an extension."""
    made = annotation(bench, segment)
    if made is not None:
        value = {"url": f"{PREFIX}note", "valueAnnotation": made[0]}
        draft.put_converted("extension[]", (value, [(f".valueAnnotation{below}", source) for below, source in made[1]]))


DECISIONS = {"extension-note": extension_note, "resource-note": resource_note}
