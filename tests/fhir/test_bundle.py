"""bundle: stored bytes in, a Bundle out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hawsepipe.fhir import bundle
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.outcome import outcome
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Change, Issue, Method, Operation, Severity, Version

BASE = "https://hawsepipe.example/fhir"
AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
CONTENT = b'{"resourceType":"Observation","id":"1","valueQuantity":{"value":1.00}}'
VERSION = Version("Observation", "1", 2, AT, AT, Operation.UPDATE, CONTENT, ("9",), bytes(32), b"", b"")


def test_a_searchset_holds_the_stored_bytes() -> None:
    made = bundle.searchset([VERSION], base_url=BASE, links={"self": f"{BASE}/Observation?code=x"}, total=1)
    data = encode(made)
    assert CONTENT in data
    read = decode(data)
    assert read["total"] == 1
    assert read["link"] == [{"relation": "self", "url": f"{BASE}/Observation?code=x"}]
    assert read["entry"][0]["fullUrl"] == f"{BASE}/Observation/1"
    assert read["entry"][0]["search"] == {"mode": "match"}


def test_bundles_and_outcomes_are_valid_r4() -> None:
    validator = Validator(load())
    issues = [Issue(Severity.WARNING, "not-supported", "x", "ignored")]
    valued = replace(VERSION, content=CONTENT.replace(b'"id"', b'"status":"final","code":{"text":"x"},"id"'))
    tombstone = replace(VERSION, operation=Operation.DELETE, content=None)
    made = (
        bundle.searchset([valued], base_url=BASE, links={"self": BASE}, total=1, issues=issues),
        bundle.history([valued, tombstone], base_url=BASE, links={"self": BASE}),
        bundle.transaction([Change(Method.PUT, "Patient", "1", {"resourceType": "Patient", "id": "1"})], base_url=BASE),
        outcome([]),
    )
    for resource in made:
        assert validator.check(decode(encode(resource))) == ()


def test_an_empty_searchset_has_no_empty_list_and_no_total_unless_told() -> None:
    made = bundle.searchset([], base_url=BASE, links={})
    assert made == {"resourceType": "Bundle", "type": "searchset"}


def test_issues_of_a_search_are_an_outcome_entry() -> None:
    made = bundle.searchset(
        [], base_url=BASE, links={}, issues=[Issue(Severity.WARNING, "not-supported", "x", "ignored")]
    )
    assert made["entry"][0]["search"] == {"mode": "outcome"}
    assert made["entry"][0]["resource"]["resourceType"] == "OperationOutcome"


def test_a_history_says_what_each_version_did() -> None:
    tombstone = replace(VERSION, version=3, operation=Operation.DELETE, content=None)
    read = decode(encode(bundle.history([tombstone, VERSION], base_url=BASE, links={})))
    assert "resource" not in read["entry"][0]
    assert read["entry"][0]["request"] == {"method": "DELETE", "url": "Observation/1"}
    assert read["entry"][1]["response"] == {
        "status": "200",
        "etag": 'W/"2"',
        "lastModified": "2026-03-01T08:00:00.000000Z",
    }


def test_a_transaction_names_method_and_condition() -> None:
    resource = {"resourceType": "Patient", "id": "1"}
    made = bundle.transaction(
        [
            Change(Method.CREATE, "Patient", "1", resource),
            Change(Method.MERGE, "Patient", "2", resource, if_match=4),
            Change(Method.DELETE, "Patient", "3", None),
        ],
        base_url=BASE,
    )
    assert [entry["request"] for entry in made["entry"]] == [
        {"method": "PUT", "url": "Patient/1", "ifNoneMatch": "*"},
        {"method": "PUT", "url": "Patient/2", "ifMatch": 'W/"4"'},
        {"method": "DELETE", "url": "Patient/3"},
    ]
