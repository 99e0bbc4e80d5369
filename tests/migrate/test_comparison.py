"""Comparison of a record with what is stored of it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Any

from hawsepipe.fhir import codec, contents
from hawsepipe.migrate.comparison import compared

SOURCE: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "1",
    "meta": {"versionId": "7", "profile": ["urn:p"]},
    "subject": {"reference": "Patient/1"},
    "valueQuantity": {"value": 1},
}


def test_ids_and_instants_are_nobodys_difference_and_references_are_told_apart() -> None:
    stored = SOURCE | {
        "id": "x",
        "meta": {"versionId": "1", "profile": ["urn:p"]},
        "subject": {"reference": "Patient/x"},
    }
    differences, references = compared(SOURCE, stored)
    assert differences == []
    assert [tuple(it) for it in references] == [("subject.reference", "Patient/1", "Patient/x")]


def test_what_is_lost_added_or_changed_is_found_and_no_value_is_told() -> None:
    stored = SOURCE | {"status": "final", "valueQuantity": {"value": 2}, "meta": {}}
    assert [tuple(it) for it in compared(SOURCE, stored)[0]] == [
        ("meta.profile[0]", "is not in the record"),
        ("status", "is not in the source"),
        ("valueQuantity.value", "is another value"),
    ]


def test_a_decimal_that_is_spelt_otherwise_is_another_value() -> None:
    one, other = codec.decode(b'{"resourceType":"X","v":1.00}'), codec.decode(b'{"resourceType":"X","v":1.0}')
    assert compared(one, one)[0] == []
    assert [it.path for it in compared(one, other)[0]] == ["v"]


def test_a_content_that_is_kept_apart_is_the_one_of_the_source() -> None:
    body = b"%PDF" * 9
    source = {"resourceType": "Binary", "contentType": "application/pdf", "data": b64encode(body).decode()}
    mark = contents.element_of(contents.Held(sha256(body).hexdigest(), len(body), "p"))
    stored = {"resourceType": "Binary", "contentType": "application/pdf", "_data": mark}
    assert compared(source, stored)[0] == []
    other = stored | {"_data": contents.element_of(contents.Held("0" * 64, len(body), "p"))}
    assert [it.path for it in compared(source, other)[0]] == ["data"]
