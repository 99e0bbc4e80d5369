"""What a message answers (MSA, ERR): MessageHeader.response, its findings as an OperationOutcome inside the header."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Draft, Leaf
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, absent, named

_OUTCOME = "outcome"
_UNSUPPORTED = frozenset({"200", "201", "202", "203"})


def response_code(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSA-1 to response.code; what was sent stays beside it. The identifier and a code are what R4 wants."""
    sent = segment.text(1)
    table = bench.site.codes["Acknowledgement"]
    code = table["codes"].get(sent.upper())
    if code == "transient-error" and any(
        one.text(3) in _UNSUPPORTED for one in bench.message.segments if one.name == "ERR"
    ):
        # Rejected for its type, event, version or processing id: the same again will not do.
        code = "fatal-error"
    if sent and code is None:
        bench.warn("code", f"{segment.label}-1", "a code that table Acknowledgement does not map; taken for an error")
    where = f"{segment.label}-1"
    draft.put("response.code", code or "fatal-error", where)
    if sent:
        concept = {"coding": [{"system": table["source"], "code": " ".join(sent.split())}]}
        draft.put("response._code.extension[]", {"url": ALTERNATE_CODES, "valueCodeableConcept": concept}, where)
    if not segment.text(2):
        draft.put("response._identifier", {"extension": [absent()]})


def response_text(bench: Bench, draft: Draft, segment: Segment) -> None:
    """MSA-3 and MSA-6, the means of older versions, to an issue."""
    text = segment.text(3)
    issue: dict[str, Any] = {
        "severity": "information" if segment.text(1)[1:].upper() == "A" else "error",
        "code": "informational" if segment.text(1)[1:].upper() == "A" else "processing",
    }
    leaves: list[Leaf] = []
    condition = bench.site.codings.of("", bench.parts(segment.repetitions(6)[0])) if segment.field(6) else None
    if condition is not None:
        named(bench, condition.names, f"{segment.label}-6")
    if condition is not None and (details := condition.value()):
        issue["details"] = details
        leaves += [(f".details{below}", f"{segment.label}-6{at}") for below, at in condition.leaves]
    if text:
        issue["diagnostics"] = text
        leaves.append((".diagnostics", f"{segment.label}-3"))
    if leaves:
        _add(draft, issue, leaves)


def response_errors(bench: Bench, draft: Draft, segment: Segment) -> None:
    """ERR to issues: one for each, or, as written until 2.4, one for each repetition of ERR-1."""
    label = segment.label
    if not any(segment.field(number) for number in range(2, 13)):
        for index, raw in enumerate(segment.repetitions(1)):
            where = f"{label}-1[{index + 1}]" if index else f"{label}-1"
            _older(bench, draft, [*raw.split(bench.component), "", "", "", ""], where)
        return
    severity = bench.site.codes["ErrorSeverity"]["codes"].get(segment.text(4).upper(), "error")
    issue: dict[str, Any] = {"severity": severity, "code": _kind(bench, segment.text(3))}
    leaves: list[Leaf] = [(".severity", f"{label}-4")] if segment.text(4) else []
    codings: list[dict[str, str]] = []
    for number in (3, 5):
        raws = segment.repetitions(number)
        if not raws:
            continue
        told = bench.site.codings.of("", bench.parts(raws[0]))
        named(bench, told.names, f"{label}-{number}")
        for below, at in told.leaves:
            if below.startswith(".coding[0]"):
                place = f".details.coding[{len(codings)}]{below.removeprefix('.coding[0]')}"
                leaves.append((place, f"{label}-{number}{at}"))
        codings += [coding.copy() for coding in told.codings[:1]]
        if told.text and "details" not in issue:
            issue["details"] = {"text": told.text}
    if codings:
        issue["details"] = issue.get("details", {}) | {"coding": codings}
    if user := segment.text(8):
        issue["details"] = issue.get("details", {}) | {"text": user}
        leaves.append((".details.text", f"{label}-8"))
    if segment.text(7):
        issue["diagnostics"] = segment.text(7)
        leaves.append((".diagnostics", f"{label}-7"))
    places = [place for raw in segment.repetitions(2) if (place := _located(bench, raw))]
    if places:
        issue["location"] = places
        leaves += [(f".location[{index}]", f"{label}-2") for index in range(len(issue["location"]))]
    extensions: list[dict[str, Any]] = []
    for number, name in _MORE:
        for raw in segment.repetitions(number):
            if text := bench.text(raw):
                leaves.append((f".extension[{len(extensions)}].valueString", f"{label}-{number}"))
                extensions.append({"url": f"urn:hawsepipe:extension:error-{name}", "valueString": text})
    if extensions:
        issue["extension"] = extensions
    _add(draft, issue, leaves)


_MORE = (
    (1, "location"),
    (6, "parameter"),
    (9, "inform"),
    (10, "override-type"),
    (11, "override-reason"),
    (12, "help-desk"),
)


def complete(header: Draft) -> None:
    """Give a response what R4 wants of it when no MSA says whether and what was accepted."""
    response = header.body.get("response")
    if response is None:
        return
    if "code" not in response:
        response["code"] = "fatal-error"
    if "identifier" not in response and "_identifier" not in response:
        response["_identifier"] = {"extension": [absent()]}


def _located(bench: Bench, raw: str) -> str:
    """ERL as people say it: `PID-3[2].4.1`, `OBX[2]-5`."""
    segment, number, field, repetition, component, sub = [*bench.parts(raw), *[""] * 6][:6]
    text = segment + (f"[{number}]" if number not in ("", "1") else "")
    if field:
        text += f"-{field}" + (f"[{repetition}]" if repetition not in ("", "1") else "")
        text += "".join(f".{part}" for part in (component, sub) if part)
    return text


def _older(bench: Bench, draft: Draft, parts: list[str], where: str) -> None:
    """ELD: segment, its number, field, and what is wrong with it."""
    told = bench.site.codings.of("", bench.parts(bench.sub(parts[3])))
    issue: dict[str, Any] = {"severity": "error", "code": _kind(bench, told.codings[0]["code"] if told.codings else "")}
    leaves: list[Leaf] = []
    if details := told.value():
        issue["details"] = details
        leaves += [(f".details{below}", f"{where}.4{at}") for below, at in told.leaves]
    segment, number, field = (bench.text(part) for part in parts[:3])
    if segment:
        issue["location"] = [_located(bench, bench.component.join((segment, number, field)))]
        leaves.append((".location[0]", f"{where}.1"))
    if leaves:
        _add(draft, issue, leaves)


def _kind(bench: Bench, code: str) -> str:
    table = bench.site.codes["ErrorCondition"]
    return str(table["codes"].get(code, table["otherwise"]))


def _add(draft: Draft, issue: dict[str, Any], leaves: list[Leaf]) -> None:
    contained = draft.body.setdefault("contained", [])
    if not contained:
        contained.append({"resourceType": "OperationOutcome", "id": _OUTCOME, "issue": []})
        draft.put("response.details", {"reference": f"#{_OUTCOME}"})
    issues = contained[0]["issue"]
    draft.trail.append((f"contained[0].issue[{len(issues)}]", leaves))
    issues.append(issue)


def credential(bench: Bench, _draft: Draft, segment: Segment) -> None:
    """UAC is a credential for one use at the door: no resource has it, nor the copy of the message, and that is
    reported. Only the intake's journal holds the bytes as they came."""
    bench.inform(segment.label, "a credential is not taken over, and is left out of the copy of the message")


DECISIONS = {
    "response-code": response_code,
    "response-text": response_text,
    "response-errors": response_errors,
    "credential": credential,
}
