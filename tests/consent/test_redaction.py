"""What a role does not get is not there for it: not in what it reads, nor in what it searches by."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.redaction import NEVER, blind, known, redaction
from hawsepipe.errors import ConfigError
from hawsepipe.fhir.query import Chain, Clause, Either, Include, Kind, MissingValue, Modifier, Query, Reverse, Sort

WITHOUT = redaction(
    frozenset({"Patient.birthDate", "Patient.identifier", "Observation.value[x]", "Observation.status"})
)
ANN: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "ann",
    "text": {"status": "generated", "div": "<div>born 1970-01-01</div>"},
    "identifier": [{"system": "urn:mrn", "value": "MRN4711"}],
    "birthDate": "1970-01-01",
    "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1970-01-01T01:00:00Z"}]},
    "extension": [{"url": "urn:copy", "valueString": "number mrn4711"}, {"url": "urn:other", "valueString": "kept"}],
    "name": [{"family": "Lind"}],
}


def test_an_element_goes_with_its_narrative_and_its_copies() -> None:
    shown = WITHOUT.of(ANN)
    assert set(shown) == {"resourceType", "id", "extension", "name", "meta"}
    assert [it["url"] for it in shown["extension"]] == ["urn:other"]
    assert shown["meta"]["security"][-1]["code"] == "REDACTED"
    assert ANN["birthDate"] == "1970-01-01"


def test_the_mark_is_the_same_whether_there_was_anything_to_leave_out() -> None:
    plain = {key: ANN[key] for key in ("resourceType", "id", "name")}
    bare = {**ANN, "extension": [ANN["extension"][1]]}
    assert WITHOUT.of({**plain, "extension": [ANN["extension"][1]]}) == WITHOUT.of(bare)


def test_what_must_be_there_is_masked() -> None:
    shown = WITHOUT.of({"resourceType": "Observation", "status": "final", "valueQuantity": {"value": 5}, "code": {}})
    assert "valueQuantity" not in shown
    assert shown["_status"]["extension"][0]["valueCode"] == "masked"


def test_contained_resources_are_gone_through() -> None:
    holder = {"resourceType": "Observation", "code": {}, "contained": [ANN]}
    assert "birthDate" not in WITHOUT.of(holder)["contained"][0]


def test_a_resource_of_another_type_stays_itself() -> None:
    slot = {"resourceType": "Slot", "id": "s"}
    assert WITHOUT.of(slot) is slot


@pytest.mark.parametrize(
    ("clause", "holds"),
    [
        (Clause("birthdate", Kind.DATE, None, ()), False),
        (Clause("birthdate", Kind.DATE, Modifier.MISSING, (MissingValue(True),)), True),
        (Clause("birthdate", Kind.DATE, Modifier.MISSING, (MissingValue(False),)), False),
        (Clause("identifier", Kind.TOKEN, Modifier.NOT, ()), True),
        (Clause("_content", Kind.SPECIAL, None, ()), False),
    ],
)
def test_a_search_by_what_is_left_out_is_one_where_nobody_has_it(clause: Clause, holds: bool) -> None:
    (found,) = blind(Query("Patient", (clause,)), WITHOUT).clauses
    assert (found != NEVER) is holds
    assert found != clause


def test_a_search_by_the_rest_is_what_it_was() -> None:
    query = Query("Patient", (Clause("family", Kind.STRING, None, ()),), (Sort("family", Kind.STRING, False),))
    assert blind(query, WITHOUT) is query


def test_chains_reverse_chains_composites_orders_and_includes_are_gone_through() -> None:
    birth, code = Clause("birthdate", Kind.DATE, None, ()), Clause("code", Kind.TOKEN, None, ())
    value = Clause("code-value-quantity", Kind.COMPOSITE, None, ())
    query = Query(
        "Observation",
        (
            Chain("subject", (("Patient", birth),)),
            Reverse("Observation", "derived-from", Clause("value-quantity", Kind.QUANTITY, None, ())),
            Either((value, code)),
        ),
        (Sort("value-quantity", Kind.QUANTITY, False), Sort("date", Kind.DATE, True)),
        includes=(Include((("Observation", "subject"),)),),
    )
    found = blind(query, WITHOUT)
    assert found.clauses == (
        Chain("subject", (("Patient", NEVER),)),
        Reverse("Observation", "derived-from", NEVER),
        Either((NEVER, code)),
    )
    assert found.sort == (Sort("date", Kind.DATE, True),)
    assert found.includes == query.includes


def test_a_path_that_r4_does_not_have_stops_the_start() -> None:
    assert known("Patient.contact.name")
    with pytest.raises(ConfigError):
        PolicySettings(redactions={"clerk": frozenset({"Patient.birthdate"})})


def test_roles_that_are_not_named_get_what_the_rule_for_others_leaves() -> None:
    settings = PolicySettings(redactions={"*": frozenset({"Patient.address"}), "physician": frozenset()})
    assert settings.redaction(frozenset({"clerk"})).concerns("Patient")
    assert not settings.redaction(frozenset({"physician"})).concerns("Patient")
    assert settings.redaction(frozenset()).concerns("Patient")
