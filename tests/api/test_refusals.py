"""What the API refuses, how it says so, and what it never says."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest
import structlog

from hawsepipe.errors import StoreFull
from hawsepipe.model import Resource


@pytest.mark.parametrize("path", ["Patient/ann", "Patient", "Nothing", "", "Patient/1/2/3/4"])
async def test_nothing_but_the_two_documents_is_answered_without_a_token(service: Any, path: str) -> None:
    answer = await service.ask("GET", path, token=None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="https://fhir.example.org/fhir"'
    assert answer.json["issue"][0]["code"] == "login"


async def test_a_bad_token_is_told_so_by_rfc_6750(service: Any) -> None:
    for token in ("nonsense", "a.b.c", service.token() + "x"):
        answer = await service.ask("GET", "Patient", token=token)
        assert answer.status == 401
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert token not in answer.body.decode()
    assert (await service.ask("GET", "Patient", token=None, Authorization="Basic YTpi")).status == 401
    assert (await service.ask("GET", f"Patient?access_token={service.token()}", token=None)).status == 401


async def test_a_token_ends(service: Any) -> None:
    token = service.token()
    assert (await service.ask("GET", "Patient", token=token)).status == 200
    service.clock.now = service.clock.now.replace(hour=13)
    assert (await service.ask("GET", "Patient", token=token)).status == 401


async def test_an_unknown_address_is_not_found_and_a_known_one_names_its_methods(service: Any) -> None:
    assert (await service.ask("GET", "Nothing/1")).status == 404
    answer = await service.ask("POST", "Patient/ann")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, PUT, PATCH, DELETE")
    assert answer.json["issue"][0]["code"] == "not-supported"


async def test_turtle_is_not_acceptable_and_says_so_in_json(service: Any) -> None:
    for path, accept in (
        ("Patient", "application/fhir+turtle"),
        ("Patient?_format=ttl", "*/*"),
        ("metadata", "text/html"),
    ):
        answer = await service.ask("GET", path, Accept=accept)
        assert answer.status == 406
        assert answer.json["resourceType"] == "OperationOutcome"


async def test_the_request_id_comes_back_if_it_is_one(service: Any) -> None:
    assert (await service.ask("GET", "metadata", X_Request_Id="a-1")).headers["X-Request-Id"] == "a-1"
    for bad in ("a b", "x" * 65, "<script>"):
        assert "X-Request-Id" not in (await service.ask("GET", "metadata", X_Request_Id=bad)).headers


async def test_the_request_id_of_a_client_is_in_no_log(service: Any) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await service.ask("GET", "Patient/ann", X_Request_Id="MRN-4711")
    assert answer.headers["X-Request-Id"] == "MRN-4711"
    assert logs
    assert "4711" not in str(logs)


@pytest.mark.parametrize("content", [b'{"resourceType":"Patient', b"[]", b"\xff"])
async def test_stored_content_that_was_tampered_with_is_our_failure_and_not_the_clients(
    service: Any, ann: Resource, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    await service.put(ann)
    stored = await service.store.read("Patient", "ann")

    async def tampered(*_: Any) -> Any:
        return replace(stored, content=content)

    monkeypatch.setattr(type(service.store), "read", tampered)
    with structlog.testing.capture_logs() as logs:
        answer = await service.ask("GET", "Patient/ann")
    assert (answer.status, answer.told()) == (500, ["the request could not be completed"])
    assert [it["event"] for it in logs if it["log_level"] == "error"] == ["the request failed"]


async def test_a_store_that_cannot_now_asks_to_come_back(
    service: Any, ann: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise StoreFull("there is no room on the disk")

    await service.put(ann)
    monkeypatch.setattr(type(service.store), "read", full)
    answer = await service.ask("GET", "Patient/ann")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


async def test_an_unforeseen_failure_says_nothing_of_itself_to_the_client_or_the_log(
    service: Any, ann: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("Lindqvist 4711")

    await service.put(ann)
    monkeypatch.setattr(type(service.store), "read", broken)
    with structlog.testing.capture_logs() as lines:
        answer = await service.ask("GET", "Patient/ann")
    assert answer.status == 500
    assert answer.told() == ["the request could not be completed"]
    assert b"RuntimeError" not in answer.body
    assert lines[0]["error"] == "RuntimeError"
    assert lines[0]["trace"][-1].startswith("test_refusals.py:")
    assert "Lindqvist" not in str(lines)
    assert "exc_info" not in lines[0]


async def test_no_log_line_holds_an_address_an_id_or_a_value(service: Any, ann: Resource) -> None:
    await service.put(ann)
    with structlog.testing.capture_logs() as lines:
        await service.ask("GET", "Patient/ann", X_Request_Id="r-1")
        await service.ask("GET", "Patient?family=Lindqvist")
        await service.ask("GET", "Patient/Lindqvist")
        await service.ask("POST", "Patient", ann)
        await service.ask("PROPFIND", "Patient")
    text = str(lines)
    assert len(lines) == 5
    assert {"event", "interaction", "method", "status", "milliseconds", "log_level"} == set(lines[0])
    assert (lines[0]["interaction"], lines[0]["status"]) == ("read", 200)
    assert lines[4]["method"] == "other"
    assert "Lindqvist" not in text
    assert "ann" not in text
    assert "4711" not in text


async def test_requests_are_counted_by_interaction_and_status(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.ask("GET", "Patient/ann")
    await service.ask("GET", "Patient/bob")
    await service.ask("GET", "Nothing")
    value = service.meters.registry.get_sample_value
    name = "hawsepipe_api_requests_total"
    assert value(name, {"interaction": "read", "status": "200"}) == 1
    assert value(name, {"interaction": "read", "status": "404"}) == 1
    assert value(name, {"interaction": "none", "status": "404"}) == 1
    assert value("hawsepipe_api_request_seconds_count", {"interaction": "read"}) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
        b"GET /fhir/metadata HTTP/1.1\r\nHost: x\r\nBig: " + b"a" * 70_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x00\x01\x00\x00\r\n\r\n",
    ],
    ids=["folded", "both lengths", "two lengths", "signed length", "long header", "TLS"],
)
async def test_an_ambiguous_head_is_refused_at_the_door(
    service: Any, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    host, port = service.address.removeprefix("http://").removesuffix("/fhir").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert line.split()[1] in {b"400", b"431"}


async def test_two_authorization_headers_are_none(service: Any) -> None:
    host, port = service.address.removeprefix("http://").removesuffix("/fhir").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    bearer = f"Authorization: Bearer {service.token()}\r\n"
    writer.write(f"GET /fhir/Patient HTTP/1.1\r\nHost: x\r\n{bearer}{bearer}\r\n".encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b"401" in line


async def test_an_address_that_is_too_long_is_refused_in_our_words_and_not_repeated(service: Any) -> None:
    answer = await service.ask("GET", f"Patient?family={'secret' * 8000}")
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    assert answer.told() == ["the request is not HTTP, or a part of it is too long"]
    assert b"secret" not in answer.body
