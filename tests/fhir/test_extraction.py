"""extraction: what a resource can be found by."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.extraction import Extractor, fold
from hawsepipe.fhir.index import (
    DATE_MAX,
    DATE_MIN,
    DateRow,
    NumberRow,
    QuantityRow,
    ReferenceRow,
    Row,
    StringRow,
    TokenRow,
    UriRow,
)
from hawsepipe.fhir.query import Kind

DEFINITIONS = load()
EXTRACTOR = Extractor(DEFINITIONS, "https://hawsepipe.example/fhir/")
SPECIAL = "http://terminology.hl7.org/CodeSystem/special-values"


def rows(resource: dict[str, Any], *codes: str) -> list[Row]:
    found = EXTRACTOR.rows(resource)
    assert len(found) == len(set(found))
    return [row for row in found if row.parameter in codes]


def test_the_rows_of_all_resources() -> None:
    resource = {
        "resourceType": "Basic",
        "id": "1",
        "meta": {
            "lastUpdated": "2026-03-01T08:00:00.000001Z",
            "source": "urn:s",
            "profile": ["http://p|1"],
            "security": [{"system": "http://s", "code": "R"}],
            "tag": [{"code": "t"}],
        },
    }
    low, _ = interval("2026-03-01T08:00:00.000001Z")
    assert set(EXTRACTOR.rows(resource)) == {
        TokenRow("_id", "", "1"),
        DateRow("_lastUpdated", low, low + 1),
        UriRow("_source", "urn:s"),
        UriRow("_profile", "http://p|1"),
        UriRow("_profile", "http://p"),
        TokenRow("_security", "http://s", "R"),
        TokenRow("_tag", "", "t"),
    }


def test_tokens_of_each_type() -> None:
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:a", "value": "1"}, {"value": "2"}, {"system": "urn:a"}],
        "active": False,
        "gender": "male",
        "telecom": [{"system": "phone", "use": "home", "value": "5"}, {"system": "email", "value": "a@b"}],
    }
    assert rows(patient, "identifier") == [TokenRow("identifier", "urn:a", "1"), TokenRow("identifier", "", "2")]
    assert rows(patient, "active") == [TokenRow("active", SPECIAL, "false")]
    assert rows(patient, "gender") == [TokenRow("gender", "http://hl7.org/fhir/administrative-gender", "male")]
    assert rows(patient, "phone") == [TokenRow("phone", "home", "5")]
    assert rows(patient, "email") == [TokenRow("email", "", "a@b")]
    observation = {
        "resourceType": "Observation",
        "code": {"coding": [{"system": "http://loinc.org", "code": "1"}, {"code": "2"}, {"display": "x"}], "text": "x"},
    }
    assert rows(observation, "code") == [TokenRow("code", "http://loinc.org", "1"), TokenRow("code", "", "2")]


@pytest.mark.parametrize(
    ("element", "code"),
    [({}, "false"), ({"deceasedBoolean": False}, "false"), ({"deceasedBoolean": True}, "true"),
     ({"deceasedDateTime": "2026"}, "true")],
)  # fmt: skip
def test_existence_is_a_token_of_every_resource(element: dict[str, Any], code: str) -> None:
    assert rows({"resourceType": "Patient", **element}, "deceased") == [TokenRow("deceased", SPECIAL, code)]


def test_strings_have_every_part_of_names_and_addresses() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [
            {"text": "Dr. É", "family": "van  Ää", "given": ["B", None, "C"], "prefix": ["Dr."], "suffix": ["Jr"]}
        ],
        "address": [{"line": ["L1"], "city": "Ci", "district": "D", "state": "S", "postalCode": "P", "country": "Co"}],
    }
    normals = [row.normal for row in rows(patient, "name") if isinstance(row, StringRow)]
    assert sorted(normals) == ["b", "c", "dr.", "dr. e", "jr", "van aa"]
    assert rows(patient, "family") == [StringRow("family", "van  Ää", "van aa")]
    assert len(rows(patient, "address")) == 6


def test_references_are_local_foreign_or_logical() -> None:
    def of(reference: dict[str, Any]) -> list[Row]:
        resource = {"resourceType": "Observation", "subject": reference}
        return rows(resource, "subject", "patient", "subject:identifier", "patient:identifier")

    local = [ReferenceRow("patient", "Patient", "1", ""), ReferenceRow("subject", "Patient", "1", "")]
    assert of({"reference": "Patient/1"}) == local
    assert of({"reference": "Patient/1/_history/2"}) == local
    assert of({"reference": "https://hawsepipe.example/fhir/Patient/1"}) == local
    foreign = "https://elsewhere.example/Patient/1"
    assert of({"reference": foreign}) == [
        ReferenceRow("patient", "", "", foreign),
        ReferenceRow("subject", "", "", foreign),
    ]
    assert of({"reference": "Group/1"}) == [ReferenceRow("subject", "Group", "1", "")]
    assert of({"reference": "urn:uuid:1"}) == [ReferenceRow("subject", "", "", "urn:uuid:1")]
    assert of({"reference": "#contained"}) == []
    assert of({"identifier": {"system": "urn:a", "value": "7"}}) == [TokenRow("subject:identifier", "urn:a", "7")]
    assert of({"type": "Patient", "identifier": {"value": "7"}}) == [
        TokenRow("patient:identifier", "", "7"),
        TokenRow("subject:identifier", "", "7"),
    ]


def test_a_canonical_is_found_with_and_without_its_version() -> None:
    plan = {"resourceType": "CarePlan", "instantiatesCanonical": ["http://p|1"]}
    assert rows(plan, "instantiates-canonical") == [
        ReferenceRow("instantiates-canonical", "", "", "http://p|1"),
        ReferenceRow("instantiates-canonical", "", "", "http://p"),
    ]


def test_a_where_picks_items() -> None:
    plan = {
        "resourceType": "ActivityDefinition",
        "relatedArtifact": [
            {"type": "depends-on", "resource": "http://a"},
            {"type": "citation", "resource": "http://b"},
        ],
    }
    assert rows(plan, "depends-on") == [ReferenceRow("depends-on", "", "", "http://a")]


def test_dates_are_intervals_with_open_ends() -> None:
    def of(element: dict[str, Any], kind: str = "Observation") -> list[Row]:
        return rows({"resourceType": kind, **element}, "date")

    day = interval("2026-03-01")
    assert of({"effectiveDateTime": "2026-03-01"}) == [DateRow("date", *day)]
    assert of({"effectivePeriod": {"start": "2026-03-01"}}) == [DateRow("date", day[0], DATE_MAX)]
    assert of({"effectivePeriod": {"end": "2026-03-01"}}) == [DateRow("date", DATE_MIN, day[1])]
    assert of({"effectivePeriod": {"id": "x"}}) == []
    timing = {
        "event": ["2026-03-05", "2026-03-01"],
        "repeat": {"boundsPeriod": {"start": "2026-03-02", "end": "2026-04"}},
    }
    assert of({"effectiveTiming": timing}) == [DateRow("date", day[0], interval("2026-04")[1])]
    assert of({"performedString": "long ago"}, "Procedure") == []


def test_numbers_and_quantities_keep_their_decimals() -> None:
    data = b'{"resourceType":"RiskAssessment","prediction":[{"probabilityDecimal":0.10},{"probabilityDecimal":1e-7}]}'
    assert rows(decode(data), "probability") == [
        NumberRow("probability", Decimal("0.10")),
        NumberRow("probability", Decimal("1E-7")),
    ]
    quantity = {"value": Decimal("5.40"), "system": "http://unitsofmeasure.org", "code": "mg", "unit": "mg"}
    expected = QuantityRow("value-quantity", Decimal("5.40"), "http://unitsofmeasure.org", "mg", "mg")
    assert rows({"resourceType": "Observation", "valueQuantity": quantity}, "value-quantity") == [expected]
    invoice = {"resourceType": "Invoice", "totalNet": {"value": Decimal("1.00"), "currency": "EUR"}}
    assert rows(invoice, "totalnet") == [QuantityRow("totalnet", Decimal("1.00"), "urn:iso:std:iso:4217", "EUR", "EUR")]
    condition = {"resourceType": "Condition", "onsetRange": {"low": {"value": 1}, "high": {"value": 2}}}
    assert [row.value for row in rows(condition, "onset-age") if isinstance(row, QuantityRow)] == [1, 2]


def test_components_are_reached_through_combo_parameters() -> None:
    observation = {
        "resourceType": "Observation",
        "code": {"coding": [{"code": "a"}]},
        "component": [{"code": {"coding": [{"code": "b"}]}, "valueQuantity": {"value": 1}}],
    }
    assert rows(observation, "combo-code") == [TokenRow("combo-code", "", "a"), TokenRow("combo-code", "", "b")]
    assert rows(observation, "combo-value-quantity") == [QuantityRow("combo-value-quantity", Decimal(1), "", "", "")]


def test_what_is_not_supported_is_composites_location_near_and_parameters_without_an_expression() -> None:
    missing = set()
    for kind in DEFINITIONS.resource_types:
        supported = {it.code for it in EXTRACTOR.supported(kind)}
        for code, parameter in DEFINITIONS.search_parameters(kind).items():
            if code not in supported and parameter.kind is not Kind.COMPOSITE:
                missing.add(code)
    assert missing == {"_content", "_query", "_text", "near"}


def test_an_odd_resource_makes_no_row_and_no_error() -> None:
    patient = {"resourceType": "Patient", "name": ["x", None, 1], "birthDate": "2026-02-30", "identifier": "x"}
    assert rows(patient, "name", "birthdate", "identifier") == []


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("text", "folded"),
    [("  Ångström\t x ", "angstrom x"), ("STRASSE", "strasse"), ("Straße", "strasse"), ("ﬁ", "fi"), ("İ", "i")],
)
def test_folding_forgets_case_accents_and_spaces(text: str, folded: str) -> None:
    assert fold(text) == folded
