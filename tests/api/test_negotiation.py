"""What clients may ask for and send, against https://hl7.org/fhir/R4/http.html#mime-type."""

from __future__ import annotations

import pytest

from hawsepipe.api.exchange import Request
from hawsepipe.api.negotiation import (
    FHIR_JSON,
    FHIR_XML,
    JSON,
    XML,
    answer_format,
    check_form_body,
    check_resource_body,
    preference,
)
from hawsepipe.errors import InvalidRequest, NotAcceptable, UnsupportedMediaType


def get(*query: tuple[str, str], **headers: str) -> Request:
    return Request("GET", ("Patient", "1"), query, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", FHIR_JSON),
        ("*/*", FHIR_JSON),
        ("application/*", FHIR_JSON),
        ("application/fhir+json", FHIR_JSON),
        ("Application/FHIR+JSON", FHIR_JSON),
        ("application/json", JSON),
        ("application/json, application/fhir+json", FHIR_JSON),
        ("application/json, */*;q=0.1", JSON),
        ("application/fhir+json;q=0.4, application/json;q=0.5", JSON),
        ("application/fhir+json;fhirVersion=4.0", FHIR_JSON),
        ('application/fhir+json; fhirVersion="4.0"; charset=utf-8', FHIR_JSON),
        ("application/fhir+xml, application/fhir+json;q=0.1", FHIR_XML),
        ("application/fhir+turtle, application/fhir+json;q=0.1", FHIR_JSON),
        ("text/xml", "text/xml"),
        ("application/fhir+json;fhirVersion=5.0, application/json", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", XML),
        ("application/fhir+json;q=0, application/json", JSON),
        ('x/y;a="1,2", application/json', JSON),
    ],
)
def test_accept_chooses_the_best_that_we_have(accept: str, media_type: str) -> None:
    assert answer_format(get(accept=accept)).media_type == media_type


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+turtle",
        "text/html",
        "application/fhir+json;fhirVersion=3.0",
        "application/fhir+json;q=0",
        "*/*;q=0",
        "nonsense",
        ";",
        "application/fhir+json;q=2",
    ],
)
def test_what_we_do_not_have_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        answer_format(get(accept=accept))


@pytest.mark.parametrize("value", ["json", "application/json", "application/fhir+json", "application/fhir json"])
def test_format_goes_before_accept(value: str) -> None:
    assert answer_format(get(("_format", value), accept="application/fhir+xml")).media_type in {FHIR_JSON, JSON}


@pytest.mark.parametrize("value", ["xml", "text/xml", "application/fhir+xml", "application/fhir xml"])
def test_xml_is_a_format(value: str) -> None:
    assert answer_format(get(("_format", value), accept="application/fhir+json")).xml


@pytest.mark.parametrize("value", ["ttl", "", "application/fhir+json;fhirVersion=5.0"])
def test_another_format_is_not_acceptable(value: str) -> None:
    with pytest.raises(NotAcceptable):
        answer_format(get(("_format", value), accept="application/fhir+json"))


def test_a_doubled_or_odd_general_parameter_is_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        answer_format(get(("_format", "json"), ("_format", "xml")))
    with pytest.raises(InvalidRequest):
        answer_format(get(("_pretty", "perhaps")))
    assert answer_format(get(("_pretty", "true"))).pretty


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/json",
        "application/fhir+json; charset=UTF-8",
        'application/fhir+json; fhirVersion=4.0; charset="utf-8"',
    ],
)
def test_json_bodies_are_taken(content_type: str) -> None:
    assert check_resource_body(get(content_type=content_type)) == FHIR_JSON


@pytest.mark.parametrize("content_type", ["application/fhir+xml", "application/xml; charset=utf-8", "text/xml"])
def test_xml_bodies_are_taken(content_type: str) -> None:
    assert check_resource_body(get(content_type=content_type)) == FHIR_XML


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_type": ""},
        {"content_type": "application/fhir+turtle"},
        {"content_type": "text/plain"},
        {"content_type": "application/fhir+json; fhirVersion=3.0"},
        {"content_type": "application/fhir+json; charset=latin-1"},
        {"content_type": "application/fhir+json", "content_encoding": "gzip"},
    ],
)
def test_other_bodies_are_an_unsupported_media_type(headers: dict[str, str]) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_resource_body(get(**headers))


def test_a_search_form_is_a_form() -> None:
    check_form_body(get(content_type="application/x-www-form-urlencoded"))
    with pytest.raises(UnsupportedMediaType):
        check_form_body(get(content_type="application/json"))


def test_prefer_is_read_and_what_is_not_known_in_it_left_alone() -> None:
    both = preference(get(prefer="return=minimal; wait=10, handling=strict"))
    assert (both.returns, both.strict) == ("minimal", True)
    odd = preference(get(prefer='respond-async, return="nothing"; handling=lenient'))
    assert (odd.returns, odd.strict) == ("representation", False)
    assert preference(get(prefer="return=OperationOutcome")).returns == "OperationOutcome"
