"""What no table takes is kept as it was sent."""

from __future__ import annotations

from typing import Any

HEAD = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A28^ADT_A05|M1|P|2.5.1"
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"


def extensions(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["url"].removeprefix("urn:hawsepipe:extension:"), one["valueString"]) for one in resource["extension"]]


def test_a_field_without_a_row_is_kept_with_the_resource_of_its_segment(translate: Any) -> None:
    made = translate((HEAD, PID + "|" * 41 + "one^two&\\T\\~^^~three"))
    assert extensions(made.one("Patient")) == [("PID-46", "one^two&&"), ("PID-46", "three")]
    assert made.texts("PID-46") == ["this field has no map; kept as it is in an extension"]


def test_a_segment_without_a_table_is_kept_as_a_basic_about_the_patient(translate: Any) -> None:
    first = translate((HEAD, PID, "ZPD|1||ward 9^east"))
    kept = first.one("Basic")
    assert kept["code"] == {"coding": [{"system": "urn:hawsepipe:v2:segments", "code": "ZPD"}]}
    assert kept["subject"]["reference"] == "Patient/" + first.one("Patient")["id"]
    assert extensions(kept) == [("ZPD-1", "1"), ("ZPD-3", "ward 9^east")]
    later = translate((HEAD.replace("|M1|", "|M2|"), PID, "ZPD|1||ward 8"))
    assert later.one("Basic")["id"] == kept["id"]


def test_deletes_and_empty_segments_leave_nothing_behind(translate: Any) -> None:
    made = translate((HEAD, PID + "|" * 41 + '""', "ZPD", 'ZPE|""|'))
    assert "extension" not in made.one("Patient")
    assert made.all("Basic") == []


def test_a_component_without_a_place_is_kept_in_its_element(translate: Any) -> None:
    made = translate((HEAD, "PID|1||MRN1^^^GOOD^MR" + "^" * 20 + "odd||DOE^JANE"))
    assert extensions(made.one("Patient")["identifier"][0]) == [("CX.25", "odd")]


def test_a_repetition_that_an_element_cannot_take_is_kept_beside_it(translate: Any) -> None:
    made = translate((HEAD, PID + "|" * 11 + "M~S^Single"))
    patient = made.one("Patient")
    assert patient["maritalStatus"]["coding"][0]["code"] == "M"
    assert extensions(patient) == [("PID-16", "S^Single")]


def test_a_field_that_only_another_message_type_has_a_target_for_is_kept(translate: Any) -> None:
    head = "MSH|^~\\&|OE|GOOD|HP|HUB|20260301101500+0000||ORM^O01|M2|P|2.5.1"
    order = "OBR|1|P1||1234-5^Panel^LN" + "|" * 18 + "20260301"
    made = translate((head, "PID|1||MRN1^^^GOOD^MR", "ORC|NW|P1", order))
    kept = {"url": "urn:hawsepipe:extension:OBR-22", "valueString": "20260301"}
    assert kept in made.one("ServiceRequest")["extension"]
    assert made.texts("OBR-22") == ["this field has no map; kept as it is in an extension"]
