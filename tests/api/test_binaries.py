"""Binary in its own form."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from hawsepipe.model import Resource

V = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
PICTURE = bytes(range(256)) * 4


def binary(content: bytes = PICTURE, kind: str = "image/png", **more: Any) -> Resource:
    data = base64.b64encode(content).decode()
    about = {"reference": "Patient/ann"}
    return {"resourceType": "Binary", "id": "b", "contentType": kind, "data": data, "securityContext": about, **more}


async def test_a_binary_is_read_as_what_it_is_unless_fhir_is_asked_for(service: Any, ann: Resource) -> None:
    await service.put(ann, binary())
    for accept in ("image/png", "*/*", "image/*, text/html;q=0.5"):
        answer = await service.ask("GET", "Binary/b", Accept=accept)
        assert (answer.status, answer.body) == (200, PICTURE)
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["ETag"] == 'W/"1"'
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert (await service.ask("GET", "Binary/b/_history/1", Accept="image/png")).body == PICTURE
    assert (await service.ask("GET", "Binary/b", Accept="image/png", If_None_Match='W/"1"')).status == 304
    head = await service.ask("HEAD", "Binary/b", Accept="image/png")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(PICTURE)))
    for path, accept in (("Binary/b", "application/fhir+json"), ("Binary/b?_format=json", "*/*")):
        assert (await service.ask("GET", path, Accept=accept)).json["resourceType"] == "Binary"
    assert b"<Binary" in (await service.ask("GET", "Binary/b", Accept="application/fhir+xml")).body
    assert (await service.ask("GET", "Patient/ann", Accept="image/png")).status == 406


async def test_what_is_written_in_its_own_form_is_a_binary(service: Any, ann: Resource) -> None:
    await service.put(ann)
    sent = {"Content_Type": "text/plain; charset=utf-8", "X_Security_Context": "Patient/ann"}
    made = await service.ask("POST", "Binary", "grüße".encode(), Accept="application/fhir+json", **sent)
    assert made.status == 201, made.body
    assert made.json["securityContext"] == {"reference": "Patient/ann"}
    place = made.headers["Location"].partition("/_history")[0]
    answer = await service.ask("GET", place)
    assert (answer.body.decode(), answer.headers["Content-Type"]) == ("grüße", "text/plain; charset=utf-8")
    changed = await service.ask("PUT", place, b"new", **{**sent, "Content_Type": "text/csv"})
    assert changed.status == 200, changed.body
    assert (await service.ask("GET", place)).body == b"new"
    assert (await service.ask("POST", "Binary", b"x", Content_Type="nonsense")).status == 400
    assert (await service.ask("POST", "Binary", b"{}", Content_Type="application/fhir+json")).status == 400
    assert (await service.ask("POST", "Patient", b"x", Content_Type="text/plain")).status == 415


@pytest.mark.parametrize("kind", ["text/html", "nonsense", "text/plain; charset=x y"])
async def test_a_content_type_that_is_none_is_not_passed_on(service: Any, ann: Resource, kind: str) -> None:
    await service.put(ann, binary(b"<script>", kind))
    answer = await service.ask("GET", "Binary/b")
    assert answer.headers["Content-Type"] == (kind if kind == "text/html" else "application/octet-stream")
    assert answer.headers["Content-Security-Policy"] == "sandbox"


async def test_a_binary_in_a_batch_stays_a_resource(service: Any, ann: Resource) -> None:
    await service.put(ann, binary())
    entry = [{"request": {"method": "GET", "url": "Binary/b"}}]
    answer = await service.ask("POST", "", {"resourceType": "Bundle", "type": "batch", "entry": entry})
    assert answer.json["entry"][0]["resource"]["resourceType"] == "Binary"


async def test_a_hidden_binary_is_none_in_any_form(service: Any, ann: Resource) -> None:
    await service.put(ann, binary(id="hide", meta={"security": [V]}))
    for accept in ("image/png", "application/fhir+json"):
        answers = [await service.ask("GET", f"Binary/{it}", Accept=accept) for it in ("hide", "lack")]
        assert answers[0].status == answers[1].status == 404
        assert answers[0].body.replace(b"hide", b"lack") == answers[1].body
