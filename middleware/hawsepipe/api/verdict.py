"""$verify on a version: what this server finds when it verifies it. `$receipt` is for who does not take its word."""

from __future__ import annotations

from typing import Any

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.receipt import RETRY_AFTER, whole_version_of
from hawsepipe.api.rendering import refuse_unknown, resource
from hawsepipe.errors import LedgerError, Pushback, Tampered

_CURRENT = "current"


async def verdict(call: Call) -> Response:
    """Answer with Parameters: `untouched`, `latest`, and `finding` with the code of what is wrong, if anything.

    It says nothing that the version and the one after it do not: no proof goes along. Raises Pushback (503 with
    Retry-After) while the version is on its way to the ledger.
    """
    refuse_unknown(call, call.request.query)
    version = await whole_version_of(call)
    try:
        found = await call.services.verdict(version)
    except Pushback:
        raise
    except Tampered as error:
        return resource(_told(untouched=False, latest=None, finding=error.finding), call.format)
    except LedgerError as error:
        raise Pushback(RETRY_AFTER) from error
    failed = [step.code for step in found.steps if step.result == "failed" and step.name != _CURRENT]
    latest = next(step.result == "ok" for step in found.steps if step.name == _CURRENT)
    return resource(_told(untouched=not failed, latest=latest, finding=found.code), call.format)


def _told(*, untouched: bool, latest: bool | None, finding: str) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [{"name": "untouched", "valueBoolean": untouched}]
    if latest is not None:
        parameters.append({"name": "latest", "valueBoolean": latest})
    if finding:
        parameters.append({"name": "finding", "valueCode": finding})
    return {"resourceType": "Parameters", "parameter": parameters}
