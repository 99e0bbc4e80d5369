"""Problem lists and care plans (PPR, PGL, PPP, PPG): PRB as Condition, GOL as Goal, PTH as CarePlan, VAR as
DetectedIssue. What the action code deletes was entered in error."""

from __future__ import annotations

from hawsepipe_hl7v2.bench import Bench, Draft
from hawsepipe_hl7v2.datatypes import concept
from hawsepipe_hl7v2.extensions import PREFIX
from hawsepipe_hl7v2.message import Segment
from hawsepipe_hl7v2.primitives import PRIMITIVES
from hawsepipe_hl7v2.scheduling import entity_key

_CONCEPT = concept()
_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFICATION = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_DELETED = "DE"
_ENDED = frozenset({"inactive", "resolved", "remission"})
_NUMBERS = {"PRB": 4, "GOL": 4, "PTH": 3, "VAR": 1}
_CODES = {"PRB": 3, "GOL": 3, "PTH": 2, "VAR": 5}


def instance(bench: Bench, segment: Segment) -> str | None:
    """A problem, goal, pathway or variance: its instance number, else the patient with its code."""
    number, code = _NUMBERS[segment.name], _CODES[segment.name]
    if segment.text(number):
        return f"{bench.subject()}|{entity_key(bench, segment.repetitions(number)[0])}|{segment.name}"
    name = segment.text(code) or segment.text(code, 2)
    if not name and segment.name != "VAR":
        bench.warn("required", f"{segment.label}-{code}", "neither a number nor a code says what this is")
        return None
    when = segment.text(2) if segment.name == "VAR" else ""
    return bench.distinct(segment.name, "|".join((bench.subject(), name.casefold(), when, segment.name)))


def state(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Decide clinicalStatus and verificationStatus of a problem.

    1. PRB-1 DE: entered in error, and then no clinical status (R4 forbids it). 2. PRB-13 as far as it is FHIR's word.
    3. PRB-14 as far as it is FHIR's word. 4. PRB-9, when it is over: resolved, unless PRB-14 says how it ended. 5. Else
    active.
    """
    label = segment.label
    if segment.text(1) == _DELETED:
        _coded(draft, "verificationStatus", _VERIFICATION, "entered-in-error", f"{label}-1")
        for field, name in ((13, "confirmation-status"), (14, "life-cycle-status")):
            _kept(bench, draft, segment, field, name)
        return
    told = _word(bench, segment, 13, "ProblemConfirmation")
    if told:
        _coded(draft, "verificationStatus", _VERIFICATION, told, f"{label}-13")
    _kept(bench, draft, segment, 13, "confirmation-status")
    life = _word(bench, segment, 14, "ProblemLifeCycle")
    _kept(bench, draft, segment, 14, "life-cycle-status")
    if segment.text(9) and life not in _ENDED:
        _coded(draft, "clinicalStatus", _CLINICAL, "resolved", f"{label}-9")
    elif life:
        _coded(draft, "clinicalStatus", _CLINICAL, life, f"{label}-14")
    else:
        _coded(draft, "clinicalStatus", _CLINICAL, "active", f"{label}-1")


def _word(bench: Bench, segment: Segment, field: int, table: str) -> str:
    """Return what the code or the words of a CWE mean in a table of FHIR's words."""
    codes: dict[str, str] = bench.site.codes[table]["codes"]
    for part in (1, 2, 4, 5, 9):
        if found := codes.get(segment.text(field, part).strip().upper()):
            return found
    return ""


def _coded(draft: Draft, element: str, system: str, code: str, where: str) -> None:
    coding = {"system": system, "code": code}
    draft.put_converted(element, ({"coding": [coding]}, [(".coding[0].code", where)]))


def _kept(bench: Bench, draft: Draft, segment: Segment, field: int, name: str) -> None:
    """Keep a status as sent beside what it became."""
    for index, raw in enumerate(segment.repetitions(field)):
        where = f"{segment.label}-{field}" + (f"[{index + 1}]" if index else "")
        made = _CONCEPT(bench, raw, where) if raw else None
        if made is not None:
            content = {"url": PREFIX + name, "valueCodeableConcept": made[0]}
            leaves = [(f".valueCodeableConcept{below}", source) for below, source in made[1]]
            draft.put_converted("extension[]", (content, leaves))


def began(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PRB-16 as onset, else PRB-17 in words; the words beside a date are kept."""
    if segment.text(16):
        made = PRIMITIVES["dateTime"](bench, segment.field(16), f"{segment.label}-16")
        draft.put_converted("onsetDateTime", made)
    if text := segment.text(17):
        if any(key.lstrip("_").startswith("onset") for key in draft.body):
            content = {"url": PREFIX + "onset-text", "valueString": text}
            draft.put_converted("extension[]", (content, [(".valueString", f"{segment.label}-17")]))
        else:
            draft.put("onsetString", text, f"{segment.label}-17")


def recorded(bench: Bench, draft: Draft, segment: Segment) -> None:
    """PRB-7, when the problem was established; else PRB-2 of a problem that is added. PRB-2 is kept as it is."""
    field = 7 if segment.text(7) else 2 if segment.text(1) == "AD" else 0
    if field:
        made = PRIMITIVES["dateTime"](bench, segment.field(field), f"{segment.label}-{field}")
        draft.put_converted("recordedDate", made)


def evidence(bench: Bench, draft: Draft, segment: Segment) -> None:
    """An observation of a problem, not of an order, is evidence of the problem."""
    problem = bench.group.role("problem")
    if problem is not None and bench.group.around("order") is None:
        problem.put("evidence[]", {"detail": [draft.reference]}, segment.label)


def goal_state(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Goal.lifecycleStatus: GOL-1 DE entered in error, else GOL-18 as far as it is FHIR's word."""
    if segment.text(1) == _DELETED:
        draft.put("lifecycleStatus", "entered-in-error", f"{segment.label}-1")
    elif told := _word(bench, segment, 18, "GoalLifeCycle"):
        draft.put("lifecycleStatus", told, f"{segment.label}-18")
    _kept(bench, draft, segment, 18, "life-cycle-status")


def plan_state(bench: Bench, draft: Draft, segment: Segment) -> None:
    """CarePlan.status: PTH-1 DE entered in error, else PTH-5 as far as it is FHIR's word."""
    if segment.text(1) == _DELETED:
        draft.put("status", "entered-in-error", f"{segment.label}-1")
    elif told := _word(bench, segment, 5, "PathwayLifeCycle"):
        draft.put("status", told, f"{segment.label}-5")
    _kept(bench, draft, segment, 5, "life-cycle-status")


def implicated(bench: Bench, draft: Draft, segment: Segment) -> None:
    """Bind a variance to what it varies from: the order, goal, pathway or problem that it stands in."""
    for role in ("order", "pathway", "goal", "problem"):
        home = bench.group.role(role)
        if home is not None:
            draft.put("implicated[]", home.reference, segment.label)
            return


def described(bench: Bench, draft: Draft, segment: Segment) -> None:
    """VAR-6, its repetitions as lines."""
    text = "\n".join(bench.text(raw) for raw in segment.repetitions(6)).strip()
    if text:
        draft.put("detail", text, f"{segment.label}-6")


IDENTITIES = {"care-instance": instance}
DECISIONS = {
    "problem-state": state,
    "problem-onset": began,
    "problem-recorded": recorded,
    "problem-evidence": evidence,
    "goal-state": goal_state,
    "pathway-state": plan_state,
    "variance-of": implicated,
    "variance-text": described,
}
