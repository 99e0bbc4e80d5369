"""Labels that the server computes, and facets."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.consent.labels import Labels, sensitive
from hawsepipe.errors import ConfigError
from hawsepipe.fhir.dates import interval

T = "http://terminology.hl7.org/CodeSystem/"
LABELS = Labels()


def observation(*codes: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "o",
        "code": {"coding": [{"system": s, "code": c} for s, c in codes]},
    } | more


def security(resource: dict[str, Any]) -> list[str]:
    return [label["code"] for label in resource["meta"]["security"]]


def test_a_resource_is_normal_unless_something_says_otherwise() -> None:
    assert security(LABELS.label(observation(("http://loinc.org", "2345-7")), None)) == ["N"]


@pytest.mark.parametrize(
    ("system", "code", "label"),
    [
        ("http://loinc.org", "75622-1", "HIV"),
        ("http://hl7.org/fhir/sid/icd-10-cm", "F11.20", "OPIOIDUD"),
        ("http://snomed.info/sct", "35489007", "PSY"),
    ],
)
def test_a_sensitive_code_makes_the_resource_restricted(system: str, code: str, label: str) -> None:
    assert security(LABELS.label(observation((system, code)), None)) == ["R", label]
    inside = observation(("http://loinc.org", "1-8"), component=[observation((system, code))])
    assert security(LABELS.label(inside, None)) == ["R", label]


def test_labels_are_joined_and_never_lowered() -> None:
    hiv = observation(("http://loinc.org", "75622-1"))
    before = LABELS.label(hiv, None)
    lowered = observation(
        ("http://loinc.org", "2345-7"), meta={"security": [{"system": T + "v3-Confidentiality", "code": "U"}]}
    )
    after = LABELS.label(lowered, before)
    assert security(after) == ["R", "HIV"]
    raised = {**lowered, "meta": {"security": [{"system": T + "v3-Confidentiality", "code": "V"}]}}
    assert security(LABELS.label(raised, after)) == ["V", "HIV"]


def test_labelling_again_changes_nothing() -> None:
    once = LABELS.label(observation(("http://loinc.org", "75622-1")), None)
    assert (
        LABELS.label(observation(("http://loinc.org", "75622-1")), once)["meta"]["security"] == once["meta"]["security"]
    )
    assert LABELS.label(once, once) is once


def test_an_unknown_confidentiality_leaves_the_rank_open() -> None:
    odd = observation(meta={"security": [{"system": T + "v3-Confidentiality", "code": "odd"}]})
    assert LABELS.facets(LABELS.label(odd, None)).rank is None
    assert LABELS.facets(observation()).rank is None
    assert LABELS.facets(LABELS.label(observation(), None)).rank == 3


def test_a_row_with_a_label_that_nobody_knows_stops_the_start() -> None:
    with pytest.raises(ConfigError):
        sensitive([{"label": "odd", "codes": {}}])


@pytest.mark.parametrize(
    ("resource", "low", "high"),
    [
        ({"resourceType": "Observation", "effectiveDateTime": "2026-02"}, "2026-02", "2026-02"),
        ({"resourceType": "Observation", "effectivePeriod": {"start": "2018", "end": "2019-03"}}, "2018", "2019-03"),
        ({"resourceType": "Procedure", "performedDateTime": "2026-02-10T09:00:00+01:00"}, "2026-02-10T08:00:00Z", None),
        ({"resourceType": "MedicationRequest", "authoredOn": "2026-02-10"}, "2026-02-10", "2026-02-10"),
        ({"resourceType": "Condition", "onsetDateTime": "2018", "recordedDate": "2026"}, "2018", "2018"),
        ({"resourceType": "Observation", "issued": "2026-02-10T09:00:00Z"}, "2026-02-10T09:00:00Z", None),
        ({"resourceType": "ServiceRequest", "occurrenceTiming": {"event": ["2018", "2020"]}}, "2018", "2020"),
    ],
)
def test_the_clinical_time_covers_the_clinical_dates(resource: dict[str, Any], low: str, high: str | None) -> None:
    facets = LABELS.facets(resource)
    assert (facets.clinical_start, facets.clinical_end) == (interval(low)[0], interval(high or low)[1])


def test_without_a_clinical_date_there_is_no_clinical_time() -> None:
    for dated in ({}, {"effectiveDateTime": "nonsense"}, {"effectivePeriod": {"start": "2027", "end": "2018"}}):
        assert LABELS.facets(observation(**dated)).clinical_start is None


def test_facets_name_codes_authors_references_and_profiles() -> None:
    values = LABELS.facets(
        observation(
            ("http://loinc.org", "1-8"),
            component=[observation(("http://snomed.info/sct", "7"))],
            subject={"reference": "Patient/p/_history/2"},
            performer=[{"reference": "Practitioner/a"}, {"reference": "#inside"}],
            meta={"profile": ["http://p/1|2"], "security": [{"system": T + "v3-ActReason", "code": "HTEST"}]},
        )
    ).values
    assert values == {
        "code": frozenset({"http://loinc.org|1-8"}),
        "anycode": frozenset({"http://loinc.org|1-8", "http://snomed.info/sct|7"}),
        "author": frozenset({"Practitioner/a"}),
        "ref": frozenset({"Patient/p", "Practitioner/a"}),
        "profile": frozenset({"http://p/1|2", "http://p/1"}),
        "purpose": frozenset({T + "v3-ActReason|HTEST"}),
    }
    assert LABELS.facets(observation()).values["elsewhere"] == frozenset({"no-patient"})
