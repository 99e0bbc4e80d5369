"""The OpenAPI description (https://spec.openapis.org/oas/v3.1.0) of what is routed, from the table that routes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from hawsepipe.api import patch
from hawsepipe.api.export import NDJSON
from hawsepipe.api.negotiation import FHIR_JSON, FHIR_XML, FORM, JSON
from hawsepipe.api.routes import RELATED, TABLE, TYPE, Route
from hawsepipe.api.writes import Write
from hawsepipe.contents.taking import OPERATION

_RESOURCES: Final = (FHIR_JSON, FHIR_XML)
_ID: Final = r"^[A-Za-z0-9.\-]{1,64}$"
_GENERAL: Final = ("_format", "_pretty")
_PARTS: Final = ("_summary", "_elements")
_QUERY: Final = {
    "capabilities": ("mode",),
    "read": _PARTS,
    "vread": _PARTS,
    "history-instance": ("_count", "_since", "_at", "_cursor", *_PARTS),
    "history-type": ("_count", "_since", "_at", "_cursor", *_PARTS),
    "history-system": ("_count", "_since", "_at", "_cursor", *_PARTS),
    "search-system": ("_type", "_count", "_total", "_include", "_revinclude", "_cursor", *_PARTS),
    "search-type": ("_include", "_revinclude", "_count", "_sort", "_total", "_cursor", *_PARTS),
    "$everything": ("start", "end", "_count", "_since", "_type", "_cursor", *_PARTS),
    "$lastn": ("patient", "subject", "category", "code", "max", *_PARTS),
    "$document": ("persist",),
    "$expand": (
        "url",
        "valueSetVersion",
        "filter",
        "count",
        "offset",
        "activeOnly",
        "excludeNested",
        "displayLanguage",
    ),
    "$validate-code": ("url", "code", "system", "display", "abstract"),
    "$lookup": ("system", "code", "version", "property", "displayLanguage"),
    "$subsumes": ("system", "codeA", "codeB", "version"),
    "$translate": ("url", "code", "system", "targetsystem", "reverse"),
    "$export": ("_outputFormat", "_since", "_type", "_typeFilter"),
    "$validate": ("mode", "profile"),
    OPERATION: ("sha256",),
}
_KINDS: Final = {
    "smart-configuration": (JSON,),
    "openapi": (JSON,),
    "$receipt": (JSON,),
    "$export-status": (JSON,),
    "$export-file": (NDJSON,),
}
_BODILESS: Final = frozenset({"$everything", "$export", "$lastn"})
"""Operations that take what they need in the address too."""

_SEARCHES: Final = frozenset({"search-system", "search-type"})
_HEADERS: Final = {
    "create": ("If-None-Exist", "Prefer"),
    "update": ("If-Match", "If-None-Match", "Prefer"),
    "patch": ("If-Match", "Prefer"),
    "delete": ("If-Match", "Prefer"),
    "$meta-add": ("If-Match",),
    "$meta-delete": ("If-Match",),
    "read": ("If-None-Match", "If-Modified-Since", "Range"),
    "vread": ("If-None-Match", "If-Modified-Since", "Range"),
    OPERATION: ("Range",),
    "transaction": ("Prefer",),
    "$export": ("Prefer",),
}


def description(*, types: Iterable[str], base_url: str, version: str) -> dict[str, Any]:
    """Return the description: a path for each pattern of the table, an operation for each row."""
    names = sorted(types)
    paths: dict[str, dict[str, Any]] = {}
    for route in TABLE:
        path = paths.setdefault("/" + "/".join(route.pattern), {})
        path[route.method.lower()] = _operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hawsepipe FHIR R4 API", "version": version},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": {
            "securitySchemes": {"smart": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": {
                "Resource": {
                    "type": "object",
                    "required": ["resourceType"],
                    "properties": {"resourceType": {"type": "string", "enum": [*names, "Parameters"]}},
                }
            },
        },
    }


def _operation(route: Route, names: list[str]) -> dict[str, Any]:
    codes = (route.code, *route.also)
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": " or ".join(codes) + (" by criteria" if route.conditional else ""),
        "parameters": [*_path(route, names), *_query(route), *_headers(route)],
        "responses": _responses(route),
    }
    if route.run is not None:
        operation["security"] = [{"smart": []}]
    accepted = _accepted(route)
    if accepted:
        schema = {"$ref": "#/components/schemas/Resource"}
        content = {kind: {"schema": schema} if kind in _RESOURCES else {} for kind in accepted}
        operation["requestBody"] = {"required": route.code not in _BODILESS, "content": content}
    return operation


def _name(route: Route) -> str:
    """Return a name that no other row has."""
    level = "-".join(part.strip("{}$_") for part in route.pattern)
    return f"{route.method.lower()}-{level}" if level else f"{route.method.lower()}-base"


def _path(route: Route, names: list[str]) -> list[dict[str, Any]]:
    parameters = []
    for part in route.pattern:
        if part == TYPE:
            schema: dict[str, Any] = {"type": "string", "enum": sorted(route.only) if route.only else names}
        elif part == RELATED:
            schema = {"type": "string", "enum": ["*", *names]}
        elif part.startswith("{"):
            schema = {"type": "string", "pattern": _ID}
        else:
            continue
        parameters.append({"name": part.strip("{}"), "in": "path", "required": True, "schema": schema})
    return parameters


def _query(route: Route) -> list[dict[str, Any]]:
    names = _QUERY.get(route.code, ())
    general = _GENERAL if route.run is not None or route.code == "capabilities" else ()
    found: list[dict[str, Any]] = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in (*general, *names)
    ]
    if route.conditional or route.code in _SEARCHES:
        free = {"type": "object", "additionalProperties": {"type": "string"}}
        found.append({"name": "criteria", "in": "query", "style": "form", "explode": True, "schema": free})
    return found


def _headers(route: Route) -> list[dict[str, Any]]:
    names = _HEADERS.get(route.code, ())
    return [{"name": name, "in": "header", "schema": {"type": "string"}} for name in names]


def _accepted(route: Route) -> tuple[str, ...]:
    if route.method not in {"POST", "PUT", "PATCH"}:
        return ()
    if route.code in _SEARCHES:
        return (FORM,)
    return patch.FORMATS if route.code == "patch" else _RESOURCES


def _responses(route: Route) -> dict[str, Any]:
    kinds = _KINDS.get(route.code, _RESOURCES)
    # A Binary is answered in whatever form it has.
    raw = ("*/*",) if route.code in {"read", "vread", OPERATION} else ()
    answer = {"description": "done", "content": {kind: {} for kind in (*kinds, *raw)}}
    found: dict[str, Any] = {"200": answer}
    if isinstance(route.run, Write) and route.code in {"create", "update"}:
        found["201"] = {"description": "created", "content": answer["content"]}
    if route.code in {"$export", "$export-status", "$export-cancel"}:
        found["202"] = {"description": "taken on, or under way"}
    if route.code in {"$export", "$export-cancel"}:
        del found["200"]
    if route.code in {"read", "vread", OPERATION}:
        found["206"] = {"description": "the range of a content that was asked for", "content": {"*/*": {}}}
        found["416"] = {"description": "the content has no such range"}
    if route.code == "delete":
        found["204"] = {"description": "deleted, or nothing to delete"}
    schema = {"$ref": "#/components/schemas/Resource"}
    found["default"] = {
        "description": "an OperationOutcome says why not",
        "content": {kind: {"schema": schema} for kind in _RESOURCES},
    }
    return found
