"""$document: https://hl7.org/fhir/R4/composition-operation-document.html, https://hl7.org/fhir/R4/documents.html"""

from __future__ import annotations

from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.rendering import resource
from hawsepipe.errors import Forbidden, Gone, InvalidRequest, NotFound, TooLarge
from hawsepipe.fhir import codec
from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.references import parse, walk
from hawsepipe.model import Resource, Version

_MOST: Final = 1_000
"""Resources that a document may name."""


async def document(call: Call) -> Response:
    """Answer with a document Bundle: the Composition, then each visible resource that it refers to, in its order.

    What is hidden or absent is left out. The same versions make the same document, with the same identifier. It is not
    kept here (`persist`): a client that wants it kept creates the Bundle.
    """
    if inputs(call, {"persist", "graph"}).truth("persist", default=False):
        raise InvalidRequest("documents are not kept here: create the Bundle instead", location="persist")
    versions = [await call.view.read("Composition", call.id)]
    for kind, identity in _named(_content(versions[0]), call.services.base_url):
        try:
            versions.append(await call.view.read(kind, identity))
        except (NotFound, Gone, Forbidden):
            continue
    base = call.services.base_url
    name = uuid5(NAMESPACE_URL, " ".join(f"{base}/{version.versioned_reference}" for version in versions))
    made: dict[str, Any] = {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{name}"},
        "type": "document",
        "timestamp": instant_text(max(version.last_updated for version in versions)),
        "entry": [
            {"fullUrl": f"{base}/{version.reference}", "resource": msgspec.Raw(version.content or b"{}")}
            for version in versions
        ],
    }
    return resource(made, call.format)


def _named(composition: Resource, base: str) -> list[tuple[str, str]]:
    """Return what a Composition refers to here, each once. Raises TooLarge."""
    found: dict[tuple[str, str], None] = {}
    for _, literal in walk(composition):
        target = parse(literal, base)
        if target.type is not None and target.id is not None:
            found[target.type, target.id] = None
    found.pop(("Composition", str(composition.get("id"))), None)
    if len(found) > _MOST:
        raise TooLarge(f"a document may name {_MOST} resources")
    return list(found)


def _content(version: Version) -> Resource:
    assert version.content is not None, "a view raises Gone for a tombstone"
    return codec.decode(version.content)
