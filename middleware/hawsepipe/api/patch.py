"""patch, conditional patch: https://hl7.org/fhir/R4/http.html#patch, https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import expected_version, in_address
from hawsepipe.api.create import stored
from hawsepipe.api.negotiation import FHIR_JSON, FHIR_XML, JSON, JSON_PATCH, MERGE_PATCH, check_patch_body
from hawsepipe.api.rendering import refuse_unknown
from hawsepipe.api.writes import Write
from hawsepipe.consent.orders import Order
from hawsepipe.fhir import codec, fhirpath_patch, json_patch, merge_patch, xml_codec
from hawsepipe.model import Resource

FORMATS: Final = (JSON_PATCH, FHIR_JSON, FHIR_XML, MERGE_PATCH, JSON)
"""What a patch may be written in: JSON Patch, FHIRPath Patch, JSON Merge Patch; as plain JSON any of them."""


def _order(call: Call) -> Order:
    """Alter a resource in part; with If-Match only if that version is current (else 412).

    What cannot be applied to the current version is 422 and changes nothing.
    """
    refuse_unknown(call, call.request.query)
    return Order("patch", call.type, call.id, alter=alteration(call), if_match=expected_version(call.request))


def _conditional_order(call: Call) -> Order:
    """Alter the one resource that the criteria match: none is 404, several are 412."""
    return Order(
        "patch",
        call.type,
        alter=alteration(call),
        criteria=in_address(call),
        if_match=expected_version(call.request),
    )


def alteration(call: Call) -> Callable[[Resource], Resource]:
    """Return what a patch makes of a resource. Raises UnsupportedMediaType, InvalidRequest."""
    kind, body = check_patch_body(call.request), call.request.body
    if kind == JSON:
        kind = _meant(codec.value_of(body))
    if kind == JSON_PATCH:
        return partial(json_patch.patched, operations=json_patch.parse(body))
    if kind == MERGE_PATCH:
        return partial(merge_patch.patched, patch=merge_patch.parse(body))
    parameters = xml_codec.decode(body) if kind == FHIR_XML else codec.decode(body)
    return partial(fhirpath_patch.patched, parameters=parameters)


def _meant(value: Any) -> str:
    """Return which patch a document without a telling type is."""
    if type(value) is list:
        return JSON_PATCH
    return FHIR_JSON if type(value) is dict and value.get("resourceType") == "Parameters" else MERGE_PATCH


patch = Write(_order, stored)
"""The interaction by id."""

conditional_patch = Write(_conditional_order, stored)
"""The interaction by criteria."""
