"""capabilities: https://hl7.org/fhir/R4/http.html#capabilities, https://hl7.org/fhir/R4/capabilitystatement.html"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from hawsepipe.api import patch
from hawsepipe.api.expand import EXPANDED_BY
from hawsepipe.api.negotiation import FHIR_JSON, FHIR_XML
from hawsepipe.api.routes import COMPARTMENTS, ELSEWHERE, TABLE, TYPE, Route
from hawsepipe.api.subscription import SEARCHED
from hawsepipe.consent.policy import SERVER_MADE
from hawsepipe.contents.taking import OPERATION
from hawsepipe.fhir.code_systems import of_r4
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.model import Resource

_CONTENT: Final = "urn:uuid:0b9d5f0a-74a5-5a3c-8a25-6a5f6f2f9d51"
_BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport"
_TOPIC: Final = "capabilitystatement-subscriptiontopic-canonical"
_OURS: Final = {
    "$receipt": "urn:uuid:6f0c2b0e-5c0a-5d0e-9a51-0e6d1f4f6a11",
    "$verify": "urn:uuid:4a1f3c52-8d1e-5b7a-9c63-2f7b0a9d6e15",
}
_SMART_SECURITY: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
    "code": "SMART-on-FHIR",
}
_COMPARTMENT: Final = "http://hl7.org/fhir/CompartmentDefinition"
_WRITES: Final = frozenset({"create", "update", "patch", "delete", "$meta-add", "$meta-delete"})
_BULK: Final = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
_EXPORTS: Final = {
    "": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export",
    "Patient": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export",
    "Group": "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export",
}
_OF_ALL: Final = frozenset({"$validate", "$meta", "$meta-add", "$meta-delete"})
"""Operations that R4 defines once for every type."""

_OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"


def capability_statement(
    *,
    types: Iterable[str],
    parameters: Parameters,
    base_url: str,
    instant: datetime,
    version: str,
    smart: Mapping[str, Any] | None,
    topics: Sequence[str] = (),
) -> Resource:
    """Return what this server does: nothing that the table of routes and the search parameters do not say.

    Without `topics` there are no subscriptions.
    """
    rest: dict[str, Any] = {
        "mode": "server",
        "documentation": (
            "Every read and search answers as if resources that the requester may not see did not exist. "
            "GET [type]/[id]/_history/[version]/$receipt gives the evidence by which a version can be verified offline."
        ),
        "security": _security(smart),
        "resource": [
            _resource(name, parameters) if name not in ELSEWHERE else _subscription(topics)
            for name in sorted(types)
            if name not in ELSEWHERE or topics
        ],
        "interaction": [
            {"code": code}
            for code in dict.fromkeys(
                code for route in TABLE if _plain(route) and route.system for code in (route.code, *route.also)
            )
        ],
        "compartment": [f"{_COMPARTMENT}/{name.lower()}" for name in sorted(COMPARTMENTS)],
        "operation": [
            {"name": code.removeprefix("$"), "definition": _definition(code, "")}
            for code in dict.fromkeys(
                route.code for route in TABLE if route.system and route.code.startswith("$") and not route.handed
            )
        ],
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": "instance",
        "software": {"name": "Hawsepipe", "version": version},
        "implementation": {"description": "Hawsepipe", "url": base_url},
        "instantiates": [_BULK],
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, "json", FHIR_XML, "xml"],
        "patchFormat": list(patch.FORMATS),
        "rest": [rest],
    }


def terminology_capabilities(*, base_url: str, instant: datetime, version: str) -> Resource:
    """Return what the terminology operations know without anything loaded, and what they can do.

    https://hl7.org/fhir/R4/terminologycapabilities.html. What is loaded is not told: this statement is public.
    """
    return {
        "resourceType": "TerminologyCapabilities",
        "status": "active",
        "date": instant.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "kind": "instance",
        "software": {"name": "Hawsepipe", "version": version},
        "implementation": {"description": "Hawsepipe", "url": base_url},
        "codeSystem": [{"uri": url} for url in sorted(of_r4(load()))],
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": False,
            "parameter": [{"name": name} for name in sorted(EXPANDED_BY)],
            "textFilter": "Beginnings of words of displays and codes.",
        },
        "codeSearch": "all",
        "validateCode": {"translations": False},
        "translation": {"needsMap": False},
        "closure": {"translation": False},
    }


def _plain(route: Route) -> bool:
    """Say whether it is an interaction and no operation, nor an address that one hands out."""
    return not route.handed and not route.code.startswith("$")


def _resource(name: str, parameters: Parameters) -> dict[str, Any]:
    here = [route for route in TABLE if TYPE in route.pattern and (route.only is None or name in route.only)]
    routed = dict.fromkeys(route.code for route in here)
    codes = [code for code in routed if name not in SERVER_MADE or code not in _WRITES]
    conditional = {route.code for route in TABLE if route.conditional}
    entry: dict[str, Any] = {
        "type": name,
        "interaction": [{"code": code} for code in codes if not code.startswith("$")],
        "versioning": "versioned-update",
        "readHistory": "vread" in codes,
        "updateCreate": False,
        "conditionalCreate": "create" in codes,
        "conditionalRead": "full-support",
        "conditionalUpdate": "update" in conditional & set(codes),
        "conditionalDelete": "single" if "delete" in conditional & set(codes) else "not-supported",
    }
    search = [{"name": code, "type": kind.value} for code, kind in parameters.supported(name)]
    if search:
        entry["searchParam"] = search
        entry["searchInclude"] = ["*", *parameters.included(name)]
        entry["searchRevInclude"] = list(parameters.included_back(name))
    operations = [
        {"name": code.removeprefix("$"), "definition": _definition(code, name)}
        for code in codes
        if code.startswith("$")
    ]
    if operations:
        entry["operation"] = operations
    return entry


def _subscription(topics: Sequence[str]) -> dict[str, Any]:
    """https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/CapabilityStatement-backport-subscription-server-r4.html"""
    codes = dict.fromkeys(route.code for route in TABLE if route.kind == "Subscription")
    return {
        "extension": [{"url": f"{_BACKPORT}/StructureDefinition/{_TOPIC}", "valueCanonical": url} for url in topics],
        "type": "Subscription",
        "supportedProfile": [f"{_BACKPORT}/StructureDefinition/backport-subscription"],
        "documentation": "Nobody but its client sees a subscription. It has no history and no receipt.",
        "interaction": [{"code": code} for code in codes if not code.startswith("$")],
        "versioning": "versioned-update",
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": False,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [{"name": name, "type": kind} for name, kind in SEARCHED.items()],
        "operation": [
            {
                "name": code.removeprefix("$"),
                "definition": f"{_BACKPORT}/OperationDefinition/backport-subscription-{code.removeprefix('$')}",
            }
            for code in codes
            if code.startswith("$")
        ],
    }


def _definition(code: str, name: str) -> str:
    """Return the canonical of an operation: those of R4 are of all resources or of a type."""
    if code in _OURS:
        return _OURS[code]
    if code == OPERATION:
        return _CONTENT
    if code == "$export":
        return _EXPORTS[name]
    of = "Resource" if code in _OF_ALL else name
    return f"http://hl7.org/fhir/OperationDefinition/{of}-{code.removeprefix('$')}"


def _security(smart: Mapping[str, Any] | None) -> dict[str, Any]:
    security: dict[str, Any] = {
        "cors": False,
        "service": [{"coding": [_SMART_SECURITY]}],
        "description": "Everything but this statement needs a SMART bearer token; consents decide what it shows.",
    }
    if smart is not None:
        security["extension"] = [
            {"url": _OAUTH_URIS, "extension": [{"url": "token", "valueUri": smart["token_endpoint"]}]}
        ]
    return security
