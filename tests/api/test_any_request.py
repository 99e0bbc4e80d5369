"""Whatever comes in, what goes out is FHIR: never an exception, never a 500."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from hawsepipe.api.exchange import Request
from hawsepipe.fhir import xml_codec
from hawsepipe.model import Resource

SEGMENTS = (
    "Patient", "Observation", "Parameters", "metadata", "_search", "_history", "$receipt", "$everything", "ann", "1",
    "", "..", "\x00", "é", "a" * 70, "Patient?x", "%2F", "\ufeff", ".well-known", "smart-configuration", "0", "-1",
)  # fmt: skip
NAMES = (
    "_id", "family", "birthdate", "_count", "_sort", "_cursor", "_format", "_pretty", "_total", "identifier:not",
    "_summary", "_elements", "_since", "_at", "", ":",
    "name:exact", "general-practitioner.name", "_has:Observation:patient:code", "_include", "_lastUpdated",
    "é", "\x00",
)  # fmt: skip
VALUES = (
    "", "1", "ann", "true", "gt2020", "2020-13-45", "a|b|c", "\\", ",,", "-family", "json", "xml", "accurate", "-1",
    "é" * 50, "9" * 400,"\x00", "%", "Patient/1", "http://[", "ap1970", "1e400", "AAAA",
)  # fmt: skip
HEADERS = {
    "accept": ("*/*", "application/json", ";;q=", ",", 'a/b;c="', "*/*;q=x", "application/fhir+json;fhirVersion=9"),
    "content-type": (
        "application/fhir+json",
        "application/x-www-form-urlencoded",
        "",
        "x",
        "application/json;charset=",
        "application/fhir+xml",
        "application/json-patch+json",
    ),
    "prefer": ("handling=strict", "return=minimal", ";;", "return", "=,=", "handling=lenient"),
    "if-none-exist": ("identifier=1", "", "x", "?family=Lindqvist", "\x00"),
    "if-match": ('W/"1"', "x", "", '"'),
    "if-none-match": ('W/"1"', "*", ",", "x"),
    "if-modified-since": ("", "x", "Mon, 99 Foo 2026 25:00:00 GMT", "Sun, 01 Mar 2026 12:00:01 -0000"),
    "authorization": ("", "Bearer", "Bearer ", "Bearer x", "Basic x", "Bearer \ud800"),
}
BODIES = (
    b"", b"{}", b"[]", b"{", b'{"resourceType":"Patient"}', b'{"resourceType":"Patient","id":"ann"}', b"family=x",
    b"\xff",
    b'{"resourceType":1}', b'{"resourceType":"Patient","id":{}}', b'{"resourceType":"Patient","name":"x"}',
    b'<Patient xmlns="http://hl7.org/fhir"><id value="ann"/></Patient>', b"<a", b'[{"op":"remove","path":"/gender"}]',
    b'{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/ann"}},{}]}',
    b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/ann"}},7]}',
    b'{"resourceType":"Parameters","parameter":[{"name":"operation","part":[{"name":"type","valueCode":"delete"},'
    b'{"name":"path","valueString":"Patient.name["}]}]}',
    b'{"resourceType":"Observation","subject":{"reference":7}}', b'{"resourceType":"Patient","meta":[]}',
    b'{"resourceType":"Patient","id":"ann","meta":{"security":{"a":1}}}', b'{"resourceType":"Patient","contained":[1]}',
)  # fmt: skip


async def test_any_request_gets_an_answer_in_fhir(service: Any, ann: Resource) -> None:
    await service.put(ann)
    choose = random.Random(20260301)
    statuses = set()
    for _ in range(1500):
        headers = {"authorization": f"Bearer {service.token()}", "content-type": "application/fhir+json"}
        for name, values in HEADERS.items():
            if choose.random() < (0.05 if name == "authorization" else 0.25):
                headers[name] = choose.choice(values)
        segments = tuple(choose.choice(SEGMENTS) for _ in range(choose.randrange(7)))
        if choose.random() < 0.7:
            deep = choose.random() < 0.3
            segments = (
                ("Patient", "ann", "_history", *segments[:2]) if deep else ("Patient", *segments[: choose.randrange(2)])
            )
        request = Request(
            choose.choice(("GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")),
            segments,
            tuple((choose.choice(NAMES), choose.choice(VALUES)) for _ in range(choose.randrange(3))),
            headers,
            choose.choice(BODIES),
        )
        response = await service.application.handle(request)
        statuses.add(response.status)
        assert response.status < 500 or (response.status, segments[-1:]) == (503, ("$receipt",)), request
        if response.status >= 400:
            xml = response.headers["Content-Type"].startswith(("application/xml", "application/fhir+xml", "text/xml"))
            told = xml_codec.decode(response.body) if xml else msgspec.json.decode(response.body)
            assert told["resourceType"] == "OperationOutcome"
    assert statuses >= {200, 201, 400, 401, 404, 405, 406, 415}
