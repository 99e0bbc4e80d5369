"""Codes in terminology operations: what was asked about, and the answer as Parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import Inputs
from hawsepipe.api.rendering import resource
from hawsepipe.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Coded:
    """A code that a request names; `system` None: it does not say."""

    system: str | None
    code: str
    display: str | None = None
    version: str | None = None


def asked_about(given: Inputs, *, system: str = "system", code: str = "code") -> list[Coded]:
    """Return the codes of a request: by `code` and `system`, a `coding`, or a `codeableConcept`.

    Raises InvalidRequest when there is none.
    """
    concept, coding, text = given.value("codeableConcept"), given.value("coding"), given.one(code)
    found: list[Coded] = []
    if concept is not None:
        listed = concept.get("coding")
        found = [it for it in map(_coded, listed if isinstance(listed, list) else ()) if it is not None]
    elif coding is not None:
        found = [it for it in (_coded(coding),) if it is not None]
    elif text is not None:
        version = given.one("systemVersion") or given.one("version")
        found = [Coded(given.one(system), text, given.one("display"), version)]
    if not found:
        raise InvalidRequest("the operation needs a code, a coding or a codeableConcept", location=code)
    return found


def _coded(item: Any) -> Coded | None:
    if not isinstance(item, dict) or not isinstance(item.get("code"), str):
        return None
    return Coded(item.get("system"), item["code"], item.get("display"), item.get("version"))


def parameters(call: Call, listed: Iterable[tuple[str, str, Any]]) -> Response:
    """Answer with Parameters of (name, key of the value, value); what has no value is left out."""
    parts = [part(name, key, value) for name, key, value in listed if value is not None]
    return resource({"resourceType": "Parameters", "parameter": parts}, call.format)


def part(name: str, key: str, value: Any) -> Mapping[str, Any]:
    """Return one parameter."""
    return {"name": name, key: value}
