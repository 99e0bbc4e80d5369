"""What no row of a table takes: kept as sent, so that nothing of a message is lost for whoever knows what it means.

A field goes into an extension of the resource that its segment makes or adds to, a component into one of its element,
a whole segment into a Basic of its own. The url says where it stood (`urn:hawsepipe:extension:PID-40`), the value is
the text of one repetition, with the delimiters between its components.
"""

from __future__ import annotations

from typing import Any

from hawsepipe import Method
from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.message import DELETE, Segment

EXTENSION = "urn:hawsepipe:extension:"
SEGMENTS = "urn:hawsepipe:v2:segments"
"""The system of Basic.code: names of segments."""
_NO_EXTENSION = frozenset({"Parameters", "Binary", "Bundle"})
_LONGEST = 1_000_000


def field(bench: Bench, draft: Draft, segment: Segment, number: int) -> None:
    """Keep every repetition of a field in an extension of a resource."""
    where = f"{segment.label}-{number}"
    for index, raw in enumerate(segment.repetitions(number)):
        repetition(bench, draft, f"{segment.name}-{number}", raw, where if index == 0 else f"{where}[{index + 1}]")


def repetition(bench: Bench, draft: Draft, name: str, raw: str, where: str) -> None:
    """Keep one repetition of a field in an extension of a resource; `name` is the field."""
    value = as_sent(bench, raw)
    if value and draft.type not in _NO_EXTENSION:
        content = {"url": EXTENSION + name, "valueString": value}
        draft.put_converted("extension[]", (content, [(".valueString", where)]))


def component(bench: Bench, name: str, raw: str, target: dict[str, Any]) -> str | None:
    """Keep a component in an extension of the element that its data type fills; return the path of the value."""
    value = as_sent(bench, raw)
    if not value:
        return None
    items = target.setdefault("extension", [])
    content = {"url": EXTENSION + name, "valueString": value}
    if content not in items:
        items.append(content)
    return f"extension[{items.index(content)}].valueString"


def segment(bench: Bench, one: Segment) -> None:
    """Keep a segment that nothing takes as a Basic about the patient.

    It is known by what it belongs to and by its name and number, so that the next message replaces it.
    """
    valued = [number for number in range(1, len(one.fields)) if one.fields[number] not in ("", DELETE)]
    if not valued:
        return
    home = _home(bench)
    draft = bench.draft("Basic", f"{home.url if home else bench.control}|{one.label}", Method.PUT)
    draft.put("code", {"coding": [{"system": SEGMENTS, "code": one.name}]})
    patient = bench.group.role("patient")
    if patient is not None:
        draft.put("subject", patient.reference)
    for number in valued:
        field(bench, draft, one, number)


def _home(bench: Bench) -> Draft | None:
    """Return the newest resource of the innermost group that has any."""
    group = bench.group
    while not group.roles and group.parent is not None:
        group = group.parent
    return next(reversed(group.roles.values()), None)


def as_sent(bench: Bench, raw: str) -> str:
    """Return a repetition as text; parts that are deletes count as empty."""
    if raw in ("", DELETE) or len(raw) > _LONGEST:
        return ""
    outer, inner = bench.component, bench.subcomponent
    if outer not in raw and inner not in raw:
        return bench.text(raw).strip()
    parts = ["&".join(bench.text(sub) for sub in part.split(inner)) for part in raw.split(outer)]
    text = "^".join(parts).strip()
    return text if text.strip("^& ") else ""
