"""Files that come as results (OBX of type ED or RP): each a DocumentReference that the Observation is derived from."""

from __future__ import annotations

from typing import Any

from hawsepipe import Method
from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.datatypes import attachment, concept, pointer
from hawsepipe_hl7v2.leftovers import repetition
from hawsepipe_hl7v2.message import DELETE, Segment

_CONCEPT = concept()
_STATUSES = {"F": "final", "U": "final", "C": "amended", "A": "amended", "B": "amended", "P": "preliminary"}
_STATUSES |= {"R": "preliminary", "S": "preliminary"}
_WRONG = frozenset({"D", "W"})


def attached(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Write each file or pointer of OBX-5 as a document about the patient.

    An R4 Observation has no value for it, and a document is where a reader looks for one. Its identity is the
    Observation's and its place among the repetitions, so that a corrected file is a new version of it.
    """
    convert = attachment if segment.text(2).upper() == "ED" else pointer
    for index, raw in enumerate(segment.repetitions(5)):
        where = f"{segment.label}-5" + (f"[{index + 1}]" if index else "")
        made = convert(bench, raw, where) if raw and raw != DELETE else None
        if made is None:
            # A file without content, or a pointer without a place: what was said of it stays with the observation.
            repetition(bench, draft, "OBX-5", raw, where)
            continue
        document = bench.draft("DocumentReference", f"{draft.id}|{index}", Method.PUT)
        status = segment.text(11)
        document.put("status", "entered-in-error" if status in _WRONG else "current")
        if status in _STATUSES:
            document.put("docStatus", _STATUSES[status], f"{segment.label}-11")
        code = _CONCEPT(bench, segment.repetitions(3)[0], f"{segment.label}-3") if segment.field(3) else None
        document.put_converted("type", code)
        _context(bench, document, segment)
        content: dict[str, Any] = {"attachment": made[0]}
        document.put_converted("content[]", (content, [(f".attachment{below}", source) for below, source in made[1]]))
        draft.put("derivedFrom[]", document.reference, where)


def _context(bench: Bench, document: Draft, segment: Segment) -> None:
    patient, visit = bench.group.role("patient"), bench.group.role("encounter")
    if patient is not None:
        document.put("subject", patient.reference)
    if visit is not None:
        document.put("context.encounter[]", visit.reference)
    home = bench.group.role("report") or bench.group.role("order")
    if home is not None:
        document.put("context.related[]", home.reference)
    moment = bench.moment(segment.text(14)).value if segment.text(14) else None
    if moment and "T" in moment:
        document.put("date", moment, f"{segment.label}-14")
