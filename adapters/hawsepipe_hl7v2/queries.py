"""Queries and what answers tell of them, as a Task: its code is the query's name, its inputs are the parameters
(QPD, RCP; QRD and QRF before 2.4), its status and outputs the answer's (QAK).

A query and its answer are one Task: it is known by the query's name and tag and by who asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft, Leaf
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.leftovers import as_sent
from hawsepipe_hl7v2.message import DELETE, Segment
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.primitives import PRIMITIVES
from hawsepipe_hl7v2.telecom import contact_point

_CONCEPT = concept()
_TELECOM = contact_point()
_STATUSES = {
    "OK": "completed",
    "NF": "completed",
    "TM": "completed",
    "PD": "completed",
    "AE": "failed",
    "AR": "rejected",
}
_ANSWER = "http://terminology.hl7.org/CodeSystem/v2-0208"
_HISTORY = {
    3: ("patient list", "CX"),
    4: ("patient name", "XPN"),
    5: ("mother's maiden name", "XPN"),
    6: ("date of birth", "date"),
    7: ("sex", ""),
    8: ("address", "XAD"),
    9: ("home phone", "XTN"),
    10: ("multiple birth indicator", ""),
    11: ("birth order", ""),
    12: ("last update date", "date"),
    13: ("last update facility", ""),
}
_IDENTIFIERS = {3: ("person identifier", "CX"), 4: ("domains returned", "CX")}
_PARAMETERS = {"Z34": _HISTORY, "Z44": _HISTORY, "Q23": _IDENTIFIERS, "IHEPIXQuery": _IDENTIFIERS}
"""Names and data types of parameters by the query's name (QPD-1); those of others go by their number."""
_SUFFIXES = {"CX": "Identifier", "XPN": "HumanName", "XAD": "Address", "XTN": "ContactPoint", "date": "Date"}
_NAMES = {
    "RCP": {
        1: "query priority",
        2: "quantity limited request",
        3: "response modality",
        4: "execution and delivery time",
    }
    | {5: "modify indicator", 6: "sort by field", 7: "segment group inclusion"},
    "QRD": {2: "query format", 3: "query priority", 5: "deferred response type", 6: "deferred response time"}
    | {7: "quantity limited request", 8: "who subject filter", 9: "what subject filter"}
    | {10: "what department data code", 11: "what data code value qualifier", 12: "query results level"},
    "QRF": {1: "where subject filter", 2: "when data start", 3: "when data end", 4: "what user qualifier"}
    | {5: "other subject filter", 6: "which date qualifier", 7: "which date status", 8: "date selection qualifier"}
    | {9: "when quantity", 10: "search confidence threshold"},
}
_COUNTS = {4: "hit count", 5: "this payload", 6: "hits remaining"}


def query(bench: Bench, segment: Segment) -> str | None:
    """A Task: the name and tag of the query (QPD-1 and QPD-2, else QAK-3 and QAK-1, else QRD-4) and who asked."""
    told, answer, older = (bench.message.first(name) for name in ("QPD", "QAK", "QRD"))
    name = tag = ""
    for one, at_name, at_tag in ((told, 1, 2), (answer, 3, 1), (older, 9, 4)):
        if one is not None:
            name, tag = name or one.text(at_name), tag or one.text(at_tag)
    if not tag:
        return f"{bench.control}|query"
    header = bench.message.segments[0]
    asked = bench.event.type in _ASKING
    return "|".join((header.text(3 if asked else 5), header.text(4 if asked else 6), name, tag))


_ASKING = frozenset({"QBP", "QSB", "QRY", "VXQ"})


def status(bench: Bench, draft: Draft, segment: Segment) -> None:
    """QAK-2: completed when there is an answer, even that nothing was found; a query without an answer is requested."""
    code = segment.text(2) if segment.name == "QAK" else ""
    if code:
        told = _STATUSES.get(code)
        if told is None:
            bench.warn("code", f"{segment.label}-2", "an unknown status of a query")
        draft.body["status"] = told or "completed"
        draft.trail.append(("status", [("", f"{segment.label}-2")]))
        coding = {"system": _ANSWER, "code": code.replace(" ", "")}
        draft.put_converted("businessStatus", ({"coding": [coding]}, [(".coding[0].code", f"{segment.label}-2")]))
    elif "status" not in draft.body:
        draft.put("status", "requested" if bench.event.type in _ASKING else "completed", segment.label)


def tag(bench: Bench, draft: Draft, segment: Segment) -> None:
    """The tag of the query as identifier."""
    field = {"QPD": 2, "QAK": 1, "QRD": 4}[segment.name]
    if text := segment.text(field):
        value = {"system": f"{bench.facility}:query", "value": text}
        if not any(one.get("value") == text for one in draft.body.get("identifier", ())):
            draft.put_converted("identifier[]", (value, [(".value", f"{segment.label}-{field}")]))


def parameters(bench: Bench, draft: Draft, segment: Segment) -> None:
    """QPD from its third field on: one input for each repetition, typed where the query is known.

    A repetition that names its field (`@PID.5.1^DOE`) is an input of that name.
    """
    known = _PARAMETERS.get(segment.text(1), {})
    for field in range(3, len(segment.fields)):
        name, type_ = known.get(field, (f"QPD-{field}", ""))
        _inputs(bench, draft, segment, field, name, type_)


def controls(bench: Bench, draft: Draft, segment: Segment) -> None:
    """RCP, QRD or QRF: one input for each repetition of a field that has a name."""
    for field, name in _NAMES[segment.name].items():
        _inputs(bench, draft, segment, field, name, "")


def _inputs(bench: Bench, draft: Draft, segment: Segment, field: int, name: str, type_: str) -> None:
    where = f"{segment.label}-{field}"
    for index, raw in enumerate(segment.repetitions(field)):
        if raw in ("", DELETE):
            continue
        at = where if index == 0 else f"{where}[{index + 1}]"
        label, value = name, raw
        if raw.startswith("@") and bench.component in raw:
            label, _, value = raw.partition(bench.component)
        suffix, made, leaves = _typed(bench, type_, value, at)
        if made is not None:
            content = {"type": {"text": bench.text(label) or name}, f"value{suffix}": made}
            draft.put_converted("input[]", (content, [(f".value{suffix}{below}", one) for below, one in leaves]))


def _typed(bench: Bench, type_: str, raw: str, where: str) -> tuple[str, Any, Sequence[Leaf]]:
    """Return the suffix of value[x], the value and its leaves; text for what is of no type or has no value as one."""
    if type_ in ("CX", "XPN", "XAD"):
        value: dict[str, Any] = {}
        leaves = bench.site.converts[type_](bench, raw, where, value)
        if value:
            return _SUFFIXES[type_], value, leaves
    elif type_:
        made = _TELECOM(bench, raw, where) if type_ == "XTN" else PRIMITIVES[type_](bench, raw, where)
        if made is not None and not isinstance(made[0], Twinned):
            return _SUFFIXES[type_], made[0], made[1]
    return "String", as_sent(bench, raw) or None, [("", where)]


def counts(_bench: Bench, draft: Draft, segment: Segment) -> None:
    """QAK-4 to QAK-6: how many were found, are in this answer, and remain."""
    for field, name in _COUNTS.items():
        text = segment.text(field)
        if not text:
            continue
        whole = text.isascii() and text.isdigit() and len(text) < 10
        value: dict[str, Any] = {"valueInteger": int(text)} if whole else {"valueString": text}
        content = {"type": {"text": name}} | value
        draft.put_converted("output[]", (content, [(f".{next(iter(value))}", f"{segment.label}-{field}")]))


def untold(bench: Bench, _segment: Segment) -> bool:
    """The message repeats no QPD, so that QAK-3 alone names the query."""
    return bench.message.first("QPD") is None


IDENTITIES = {"query": query}
PREDICATES = {"query-untold": untold}
DECISIONS = {
    "query-status": status,
    "query-tag": tag,
    "query-parameters": parameters,
    "query-controls": controls,
    "query-counts": counts,
}
