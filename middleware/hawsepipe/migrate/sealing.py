"""The end of a load in the record itself: a Task with the counts and the Merkle root of each source, anchored like
everything else. It names no file and no person.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from hawsepipe.fhir import provenance
from hawsepipe.migrate.translation import HISTORICAL
from hawsepipe.model import Change, Method, Resource, Transaction

ROOT: Final = "urn:hawsepipe:load:root"
"""The system of the type of an output that is a source's root (RFC 6962, over the digests of its records in order)."""

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hawsepipe:load")
_NUMBERS: Final = ("loaded", "duplicate", "dead")


def task_id(load: str) -> str:
    """Return the id of the Task of a load."""
    return str(uuid.uuid5(_NAMESPACE, load))


def task(load: str, counts: Mapping[str, Sequence[int]], roots: Mapping[str, str], *, withdrawn: str = "") -> Resource:
    """Return the Task: for each source its root (hex) and how many records were loaded, duplicate and dead.

    `withdrawn` is by whom the load was withdrawn, empty when it was not.
    """
    outputs: list[dict[str, Any]] = []
    for source, root in roots.items():
        outputs.append({"type": _type(ROOT, source, f"Merkle root of source {source}"), "valueString": root})
        for name, number in zip(_NUMBERS, counts.get(source, (0, 0, 0)), strict=True):
            kind = _type(f"urn:hawsepipe:load:{name}", source, f"records of source {source}: {name}")
            outputs.append({"type": kind, "valueInteger": number})
    result: Resource = {
        "resourceType": "Task",
        "id": task_id(load),
        "meta": {"tag": [{"system": provenance.LOAD, "code": load}]},
        "identifier": [{"system": provenance.LOAD, "value": load}],
        "status": "cancelled" if withdrawn else "completed",
        "intent": "order",
        "code": {"coding": [HISTORICAL]},
    }
    if withdrawn:
        result["statusReason"] = {"text": "load withdrawn"}
    return result | ({"output": outputs} if outputs else {})


def transaction(resource: Resource, actor: str, instant: datetime, *, client: str | None = None) -> Transaction:
    """Return what writes the Task of a load, by `actor` (`feed:<load>` or a reference)."""
    kind = "withdrawn" if resource["status"] == "cancelled" else "completed"
    id_ = str(uuid.uuid5(_NAMESPACE, f"{resource['id']}|{kind}"))
    draft = provenance.draft(actor, id=id_, client=client, operation="UPDATE" if kind == "withdrawn" else "CREATE")
    change = Change(Method.PUT, "Task", str(resource["id"]), resource)
    return Transaction((change,), draft, actor, instant)


def _type(system: str, code: str, text: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], "text": text}
