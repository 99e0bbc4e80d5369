"""parameters: a query string to a Query; nothing is ignored in silence."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.dates import interval
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import (
    Chain,
    Clause,
    Condition,
    DateValue,
    Kind,
    MissingValue,
    Modifier,
    NumberValue,
    Prefix,
    QuantityValue,
    ReferenceValue,
    Reverse,
    Sort,
    StringValue,
    TokenValue,
    Total,
    UriValue,
    Value,
    named,
)

PARAMETERS = Parameters(load(), "https://hawsepipe.example/fhir", count=20, maximum=100)


def condition(kind: str, name: str, value: str) -> Condition:
    parsed = PARAMETERS.parse(kind, [(name, value)], strict=True)
    assert parsed.used == ((name, value),)
    (found,) = parsed.query.clauses
    return found


def clause(kind: str, name: str, value: str) -> Clause:
    found = condition(kind, name, value)
    assert isinstance(found, Clause)
    return found


def values(kind: str, name: str, value: str) -> tuple[Value, ...]:
    return clause(kind, name, value).values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [TokenValue(None, "a")]),
        ("http://s|a", [TokenValue("http://s", "a")]),
        ("|a", [TokenValue("", "a")]),
        ("http://s|", [TokenValue("http://s", None)]),
        ("a,b", [TokenValue(None, "a"), TokenValue(None, "b")]),
        (r"a\,b", [TokenValue(None, "a,b")]),
        (r"s\|t|a\\\$", [TokenValue("s|t", "a\\$")]),
    ],
)
def test_tokens(text: str, expected: list[Value]) -> None:
    assert values("Observation", "code", text) == tuple(expected)


def test_modifiers_of_tokens_and_strings() -> None:
    assert clause("Observation", "code:not", "a").modifier is Modifier.NOT
    assert clause("Patient", "name:exact", "Ä") == Clause("name", Kind.STRING, Modifier.EXACT, (StringValue("Ä", "a"),))
    assert clause("Patient", "name:contains", "x").modifier is Modifier.CONTAINS
    assert values("Patient", "birthdate:missing", "true") == (MissingValue(True),)


def test_references() -> None:
    assert values("Observation", "subject", "Patient/1") == (ReferenceValue("Patient", "1", None),)
    assert values("Observation", "subject", "1") == (ReferenceValue(None, "1", None),)
    assert values("Observation", "subject:Patient", "1") == (ReferenceValue("Patient", "1", None),)
    assert values("Encounter", "service-provider", "1") == (ReferenceValue("Organization", "1", None),)
    own = "https://hawsepipe.example/fhir/Patient/1"
    assert values("Observation", "subject", own) == (ReferenceValue("Patient", "1", None),)
    assert values("Observation", "subject", "http://x/Patient/1") == (ReferenceValue(None, None, "http://x/Patient/1"),)
    found = clause("Observation", "subject:identifier", "urn:a|7")
    assert (found.modifier, found.values) == (Modifier.IDENTIFIER, (TokenValue("urn:a", "7"),))


def test_dates() -> None:
    assert values("Patient", "birthdate", "ge1970") == (DateValue(Prefix.GE, *interval("1970")),)
    zoned = "2026-03-01T08:00:00+02:00"
    for text in (zoned, zoned.replace("+", " ")):
        assert values("Observation", "date", text) == (DateValue(Prefix.EQ, *interval(zoned)),)


@pytest.mark.parametrize(
    ("text", "prefix", "value", "low", "high"),
    [
        ("100", Prefix.EQ, "100", "99.5", "100.5"),
        ("100.00", Prefix.EQ, "100.00", "99.995", "100.005"),
        ("1e2", Prefix.EQ, "1E+2", "95", "105"),
        ("lt0.10", Prefix.LT, "0.10", "0.095", "0.105"),
        ("ap-5", Prefix.AP, "-5", "-5.5", "-4.5"),
    ],
)
def test_numbers_have_the_interval_of_their_precision(
    text: str, prefix: Prefix, value: str, low: str, high: str
) -> None:
    expected = NumberValue(prefix, Decimal(value), Decimal(low), Decimal(high))
    assert values("RiskAssessment", "probability", text) == (expected,)


def test_quantities() -> None:
    five = NumberValue(Prefix.EQ, Decimal("5"), Decimal("4.5"), Decimal("5.5"))
    assert values("Observation", "value-quantity", "5") == (QuantityValue(five, None, None),)
    assert values("Observation", "value-quantity", "5||mg") == (QuantityValue(five, None, "mg"),)
    assert values("Observation", "value-quantity", "5|http://u|mg") == (QuantityValue(five, "http://u", "mg"),)


def test_uris() -> None:
    assert values("ValueSet", "url", "http://x,http://y") == (UriValue("http://x"), UriValue("http://y"))


def test_repeated_parameters_are_clauses_of_their_own() -> None:
    parsed = PARAMETERS.parse("Patient", [("given", "a"), ("given", "b")], strict=True)
    assert [named(it) for it in parsed.query.clauses] == ["given", "given"]


def test_result_parameters() -> None:
    pairs = [("_sort", "-birthdate,_lastUpdated"), ("_count", "7"), ("_total", "accurate"), ("_format", "json")]
    parsed = PARAMETERS.parse("Patient", pairs, strict=True)
    assert parsed.query.sort == (Sort("birthdate", Kind.DATE, True), Sort("_lastUpdated", Kind.DATE, False))
    assert (parsed.query.count, parsed.query.total) == (7, Total.ACCURATE)
    assert parsed.used == tuple(pairs)
    assert PARAMETERS.parse("Patient", [], strict=True).query.count == 20
    assert PARAMETERS.parse("Patient", [("_count", "5000")], strict=True).query.count == 100
    assert PARAMETERS.parse("Patient", [("_count", "0")], strict=True).query.total is Total.ACCURATE


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("Patient", "birthdate", "yesterday"),
        ("Patient", "birthdate", "2026-02-30"),
        ("Patient", "birthdate", "ge"),
        ("Patient", "name", ""),
        ("Patient", "name", "a,,b"),
        ("Patient", "name", "a\\"),
        ("Patient", "name", "a\\b"),
        ("Patient", "name:missing", "yes"),
        ("Patient", "name:nonsense", "a"),
        ("Patient", "name:not", "a"),
        ("Patient", "identifier", "|"),
        ("Patient", "identifier", "a|b|c"),
        ("Patient", "identifier:of-type", "a|b"),
        ("Patient", "gender:of-type", "a|b|c"),
        ("Observation", "_text:exact", "a"),
        ("Observation", "code:below", "http://nowhere|1"),
        ("Observation", "code-value-quantity", "a"),
        ("Observation", "patient.birthdate", "yesterday"),
        ("Observation", "_has:Group:member:_id", "1"),
        ("Observation", "patient.general-practitioner.organization.partof.name", "x"),
        ("Location", "near", "91|0"),
        ("Observation", "_include", "x"),
        ("Patient", "_count", "-1"),
        ("Patient", "_count", "x"),
        ("Patient", "_total", "maybe"),
        ("Observation", "code:in", "http://v"),
        ("Observation", "subject", "Nothing/1"),
        ("Observation", "subject:Nothing", "1"),
        ("Observation", "value-quantity", "5|mg"),
        ("Observation", "value-quantity", "NaN"),
        ("RiskAssessment", "probability", "1e99999999"),
        ("ValueSet", "url:below", "urn:oid:1.2"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_cannot_be_honoured_is_refused_by_name(kind: str, name: str, value: str, strict: bool) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PARAMETERS.parse(kind, [(name, value)], strict)
    assert caught.value.location == name
    assert not value or len(value) < 5 or value not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["nonsense", "subject.nonsense", "patient:Nothing.name", "code.text", "_has:Observation:nonsense:code",
     "_has:Nothing:patient:code", "_summary", "_elements", "_filter", "_query", "_type"],
)  # fmt: skip
def test_an_unknown_parameter_is_refused_or_reported(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        PARAMETERS.parse("Observation", [(name, "x")], strict=True)
    assert caught.value.location == name
    parsed = PARAMETERS.parse("Observation", [(name, "x"), ("code", "a")], strict=False)
    assert parsed.used == (("code", "a"),)
    assert [(it.cause, it.location) for it in parsed.ignored] == [("not-supported", name)]


def test_an_unknown_sort_key_is_refused_or_reported() -> None:
    with pytest.raises(InvalidRequest):
        PARAMETERS.parse("Patient", [("_sort", "nonsense")], strict=True)
    parsed = PARAMETERS.parse("Patient", [("_sort", "birthdate,nonsense")], strict=False)
    assert parsed.query.sort == ()
    assert parsed.used == ()
    assert [it.location for it in parsed.ignored] == ["_sort"]


def test_a_name_that_is_no_name_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        PARAMETERS.parse("Patient", [("Jane Doe, 1970", "x")], strict=True)
    assert "Jane" not in str(caught.value)


def test_a_result_parameter_is_given_once() -> None:
    with pytest.raises(InvalidRequest):
        PARAMETERS.parse("Patient", [("_count", "1"), ("_count", "2")], strict=False)


def test_supported_parameters_are_what_can_be_parsed() -> None:
    supported = dict(PARAMETERS.supported("Patient"))
    assert supported["birthdate"] is Kind.DATE
    assert supported["_id"] is Kind.TOKEN
    assert "_content" in supported
    assert "_query" not in supported


@given(
    st.sampled_from(["code", "date", "subject", "value-quantity", "_profile", "code:text", "x"]), st.text(max_size=20)
)
def test_any_text_is_parsed_or_refused(name: str, text: str) -> None:
    for strict in (True, False):
        with contextlib.suppress(InvalidRequest):
            PARAMETERS.parse("Observation", [(name, text)], strict)


def test_a_chain_has_a_condition_for_each_type_that_its_reference_may_name() -> None:
    found = condition("Observation", "subject.name", "a")
    assert isinstance(found, Chain)
    # A Group has no name to search by; a Device is called by one.
    assert {target for target, _ in found.targets} == {"Location", "Patient"}
    typed = condition("Observation", "subject:Patient.name", "a")
    assert isinstance(typed, Chain)
    assert [target for target, _ in typed.targets] == ["Patient"]
    assert named(typed) == "subject.name"


def test_has_is_nested_and_keeps_a_system_that_is_a_url() -> None:
    found = condition("Patient", "_has:Observation:patient:_has:AuditEvent:entity:agent", "Practitioner/1")
    assert isinstance(found, Reverse)
    assert isinstance(found.condition, Reverse)
    assert (found.condition.type, found.condition.parameter) == ("AuditEvent", "entity")
    coded = condition("Patient", "_has:Observation:patient:code", "http://loinc.org|1")
    assert isinstance(coded, Reverse)
    assert isinstance(coded.condition, Clause)
    assert coded.condition.values == (TokenValue("http://loinc.org", "1"),)


@pytest.mark.parametrize(
    ("pairs", "place"),
    [
        ([("_id", ",".join(map(str, range(2_001))))], "_search"),
        ([("_id", ",".join(map(str, range(1_000))))] * 3, "_search"),
        ([("value-quantity", ",".join(map(str, range(201))))], "value-quantity"),
        ([("value-quantity", "1"), ("code:text", ",".join(["a"] * 200))], "code:text"),
        ([("subject.name", ",".join(["a"] * 201))], "subject.name"),
        ([("_sort", ",".join(["date"] * 9))], "_sort"),
    ],
)
def test_one_search_cannot_ask_for_any_amount_of_work(pairs: list[tuple[str, str]], place: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        PARAMETERS.parse("Observation", pairs, strict=True)
    assert raised.value.location == place


def test_a_page_of_ids_and_codes_can_be_asked_for() -> None:
    pairs = [("_id", ",".join(map(str, range(1_000)))), ("code", ",".join(map(str, range(500))))]
    assert len(PARAMETERS.parse("Observation", pairs, strict=True).query.clauses) == 2
