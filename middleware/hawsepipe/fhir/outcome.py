"""OperationOutcome (https://hl7.org/fhir/R4/operationoutcome.html): the only form in which errors leave."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hawsepipe.errors import HawsepipeError, InvalidResource, RequestError
from hawsepipe.model import Issue, Resource, Severity

_FHIRPATH = re.compile(r"[A-Z][a-z][A-Za-z]*(\.[A-Za-z0-9_]+(\[\d+\])?(\.(ofType|extension)\([^)]*\))?)*")

# The causes of a translation's issues are not IssueType codes; those of requests and resources are.
_TYPES = {"parse": "structure", "mapping": "informational", "code": "code-invalid"}
_CAUSES = frozenset({"parse", "structure", "mapping", "code", "required"})
CAUSE = "urn:hawsepipe:issue-cause"
"""The system of `details`: the cause of a translation's issue."""


def outcome(issues: Iterable[Issue], *, causes: bool = False) -> Resource:
    """Return the OperationOutcome of these issues; without any, one that says that all is well.

    `causes`: with the causes of a translation's issues as `details`, where the codes of IssueType say less.
    """
    found = [_issue(issue, causes) for issue in issues]
    if not found:
        found = [{"severity": "information", "code": "informational", "diagnostics": "No issues"}]
    return {"resourceType": "OperationOutcome", "issue": found}


def from_error(error: HawsepipeError) -> Resource:
    """Return the OperationOutcome that a client gets for an error. Its status is `error.status`."""
    if isinstance(error, InvalidResource) and error.issues:
        return outcome(error.issues)
    entry: dict[str, Any] = {"severity": "error", "code": error.code}
    if isinstance(error, RequestError):
        entry["diagnostics"] = error.text
        if error.expression is not None:
            entry["expression"] = [error.expression]
        elif error.location is not None:
            entry["location"] = [error.location]
    else:
        entry["diagnostics"] = str(error) or "The request could not be completed"
    return {"resourceType": "OperationOutcome", "issue": [entry]}


def _issue(issue: Issue, causes: bool = False) -> dict[str, Any]:
    severity = Severity(issue.severity)
    entry: dict[str, Any] = {"severity": severity.value, "code": _TYPES.get(issue.cause, issue.cause)}
    if issue.cause == "mapping" and severity in (Severity.ERROR, Severity.FATAL):
        entry["code"] = "processing"
    if causes and issue.cause in _CAUSES:
        entry["details"] = {"coding": [{"system": CAUSE, "code": issue.cause}]}
    entry["diagnostics"] = issue.text
    if issue.location:
        entry["expression" if _FHIRPATH.fullmatch(issue.location) else "location"] = [issue.location]
    return entry
