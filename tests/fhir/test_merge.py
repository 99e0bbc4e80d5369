"""merge: what a change makes of the stored resource."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.merge import merged
from hawsepipe.model import Change, Method, Resource

STORED: Resource = {
    "resourceType": "Patient",
    "id": "1",
    "active": True,
    "identifier": [
        {"system": "urn:a", "value": "1", "type": {"text": "MR"}},
        {"system": "urn:b", "value": "2"},
    ],
    "birthDate": "1970-01-01",
    "_birthDate": {"id": "b"},
    "name": [{"family": "A"}],
}


def merge(resource: Resource, remove: set[str] | None = None, union: set[str] | None = None) -> Change:
    return Change(Method.MERGE, "Patient", "1", resource, remove=frozenset(remove or ()), union=frozenset(union or ()))


def test_put_and_create_take_the_resource_as_it_is_with_the_id_of_the_change() -> None:
    for method in (Method.PUT, Method.CREATE):
        content = merged(
            STORED, Change(method, "Patient", "9", {"resourceType": "Patient", "id": "x", "active": False})
        )
        assert content == {"resourceType": "Patient", "id": "9", "active": False}


def test_delete_has_no_content() -> None:
    with pytest.raises(InvalidRequest):
        merged(STORED, Change(Method.DELETE, "Patient", "1", None))


def test_merge_replaces_what_is_named_and_keeps_the_rest() -> None:
    content = merged(STORED, merge({"resourceType": "Patient", "name": [{"family": "B"}]}))
    assert content == STORED | {"name": [{"family": "B"}]}


def test_merge_onto_nothing_is_the_resource() -> None:
    content = merged(None, merge({"resourceType": "Patient", "active": True}, union={"identifier"}))
    assert content == {"resourceType": "Patient", "id": "1", "active": True}


def test_merge_removes_elements_with_their_twins_but_never_the_identity() -> None:
    content = merged(STORED, merge({"resourceType": "Patient"}, remove={"birthDate", "id", "resourceType"}))
    assert content == {k: v for k, v in STORED.items() if k not in ("birthDate", "_birthDate")}


def test_merge_removes_a_part_of_an_object_and_single_items_of_a_list() -> None:
    stored = {
        "resourceType": "Patient",
        "id": "1",
        "maritalStatus": {"text": "M", "_text": {"id": "t"}, "coding": [{"code": "M"}]},
        "contact": [{"gender": "male"}],
        "extension": [{"url": "a", "valueCode": "1"}, {"url": "b", "valueCode": "2"}, {"url": "a", "valueCode": "3"}],
        "link": [
            {"other": {"reference": "Patient/2"}, "type": "seealso"},
            {"other": {"reference": "Patient/3"}, "type": "replaces"},
        ],
    }
    removed = {
        "maritalStatus.text",
        "contact.gender",
        "extension[a]",
        "link[Patient/2]",
        "link[Patient/9]",
        "name.family",
    }
    content = merged(stored, merge({}, remove=removed))
    assert content["maritalStatus"] == {"coding": [{"code": "M"}]}
    assert (content["contact"], content["extension"]) == (stored["contact"], [{"url": "b", "valueCode": "2"}])
    assert content["link"] == [{"other": {"reference": "Patient/3"}, "type": "replaces"}]
    assert merged(content, merge({}, remove={"extension[b]"})).keys() == content.keys() - {"extension"}


def test_a_new_value_does_not_keep_the_extensions_of_the_old_one() -> None:
    assert "_birthDate" not in merged(STORED, merge({"birthDate": "1971"}))
    assert "birthDate" not in merged(
        STORED, merge({"_birthDate": {"extension": [{"url": "u", "valueCode": "unknown"}]}})
    )


def test_one_value_of_a_choice_replaces_another() -> None:
    stored = STORED | {"deceasedDateTime": "2026-01-01", "_deceasedDateTime": {"id": "d"}}
    content = merged(stored, merge({"deceasedBoolean": False}))
    assert content == STORED | {"deceasedBoolean": False}
    assert merged(stored, merge({}, remove={"deceased[x]"})) == STORED


def test_union_joins_identifiers_by_system_and_value() -> None:
    change = merge(
        {"identifier": [{"system": "urn:a", "value": "1", "use": "old"}, {"system": "urn:c", "value": "1"}]},
        union={"identifier"},
    )
    assert merged(STORED, change)["identifier"] == [
        {"system": "urn:a", "value": "1", "type": {"text": "MR"}, "use": "old"},
        {"system": "urn:b", "value": "2"},
        {"system": "urn:c", "value": "1"},
    ]


def test_union_joins_links_by_target() -> None:
    stored = STORED | {"link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}]}
    given_link = {"other": {"reference": "Patient/2"}, "type": "replaces"}
    assert merged(stored, merge({"link": [given_link]}, union={"link"}))["link"] == [given_link]


def test_union_joins_participants_by_actor_and_services_by_code() -> None:
    stored: Resource = {
        "resourceType": "Appointment",
        "id": "1",
        "participant": [
            {"actor": {"reference": "Patient/1"}, "status": "accepted"},
            {
                "actor": {"reference": "Device/1"},
                "status": "accepted",
                "_status": {"id": "s"},
                "period": {"start": "2026-03-10"},
            },
        ],
        "serviceType": [{"coding": [{"system": "urn:a", "code": "X"}], "text": "X-ray"}],
    }
    given_ = {
        "participant": [{"actor": {"reference": "Device/1"}, "status": "declined"}],
        "serviceType": [{"coding": [{"system": "urn:a", "code": "X"}]}, {"coding": [{"system": "urn:a", "code": "Y"}]}],
    }
    union = frozenset({"participant", "serviceType"})
    result = merged(stored, Change(Method.MERGE, "Appointment", "1", given_, union=union))
    assert result["participant"] == [
        {"actor": {"reference": "Patient/1"}, "status": "accepted"},
        {"actor": {"reference": "Device/1"}, "status": "declined", "period": {"start": "2026-03-10"}},
    ]
    assert [one["coding"][0]["code"] for one in result["serviceType"]] == ["X", "Y"]
    assert result["serviceType"][0]["text"] == "X-ray"


def test_union_joins_anything_else_by_its_exact_json() -> None:
    stored = decode(b'{"resourceType":"Patient","id":"1","photo":[{"size":1.0}]}')
    change = merge(decode(b'{"photo":[{"size":1.0},{"size":1.00}]}'), union={"photo"})
    assert encode(merged(stored, change)).endswith(b'"photo":[{"size":1.0},{"size":1.00}]}')


def test_union_replaces_all_extensions_of_one_url_together() -> None:
    stored = STORED | {"extension": [{"url": "a", "valueCode": "1"}, {"url": "b", "valueCode": "2"}]}
    given_ones = [{"url": "a", "valueCode": "3"}, {"url": "a", "valueCode": "4"}]
    assert merged(stored, merge({"extension": given_ones}, union={"extension"}))["extension"] == [
        {"url": "b", "valueCode": "2"},
        *given_ones,
    ]


def test_union_joins_objects_key_by_key() -> None:
    stored = STORED | {"meta": {"source": "a", "profile": ["p"]}}
    assert merged(stored, merge({"meta": {"source": "b"}}, union={"meta"}))["meta"] == {"source": "b", "profile": ["p"]}


def test_an_element_to_keep_is_written_only_where_there_is_none() -> None:
    change = Change(
        Method.MERGE,
        "Patient",
        "1",
        {"birthDate": "1980", "gender": "male", "deceasedBoolean": True},
        keep=frozenset({"birthDate", "gender", "deceasedBoolean"}),
    )
    stored = STORED | {"deceasedDateTime": "2026"}
    assert merged(stored, change) == stored | {"gender": "male"}


ITEMS = st.fixed_dictionaries(
    {"system": st.sampled_from("ab")},
    optional={"value": st.sampled_from("12"), "use": st.sampled_from(["old", "usual"])},
)
PATIENTS = st.fixed_dictionaries(
    {},
    optional={
        "identifier": st.lists(ITEMS, min_size=1, max_size=4),
        "name": st.lists(st.fixed_dictionaries({"family": st.sampled_from("AB")}), min_size=1, max_size=2),
        "birthDate": st.sampled_from(["1970", "1971"]),
        "_birthDate": st.just({"id": "x"}),
        "active": st.booleans(),
        "deceasedBoolean": st.booleans(),
        "deceasedDateTime": st.just("2026"),
    },
)
NAMES = st.frozensets(st.sampled_from(["identifier", "name", "birthDate", "_birthDate", "active"]))
REMOVED = st.frozensets(st.sampled_from(["identifier", "name", "birthDate", "active", "extension[a]", "period.end"]))


@given(PATIENTS | st.none(), PATIENTS, REMOVED, NAMES, NAMES)
def test_merging_twice_is_merging_once(
    stored: Any, resource: Any, remove: frozenset[str], union: frozenset[str], keep: frozenset[str]
) -> None:
    before = copy.deepcopy((stored, resource))
    change = Change(Method.MERGE, "Patient", "1", resource, remove=remove, union=union, keep=keep)
    once = merged(stored, change)
    assert merged(once, change) == once
    assert (stored, resource) == before


def test_items_of_one_kind_go_and_the_others_stay() -> None:
    stored: Resource = {
        "resourceType": "Patient",
        "id": "1",
        "telecom": [{"use": "home", "value": "1"}, {"use": "work", "value": "2"}, {"value": "3"}],
        "generalPractitioner": [{"reference": "Organization/1"}, {"reference": "Practitioner/2"}],
    }
    bare: Resource = {"resourceType": "Patient", "id": "1"}
    after = merged(stored, merge(bare, {"telecom[use=work]", "generalPractitioner[type=Organization]"}))
    assert [item["value"] for item in after["telecom"]] == ["1", "3"]
    assert after["generalPractitioner"] == [{"reference": "Practitioner/2"}]
    assert [item["value"] for item in merged(stored, merge(bare, {"telecom[use!=work]"}))["telecom"]] == ["2"]
    given = bare | {"telecom": [{"use": "work", "value": "9"}]}
    after = merged(stored, merge(given, {"telecom[use=work]"}, {"telecom"}))
    assert [item["value"] for item in after["telecom"]] == ["1", "3", "9"]
    urls = {"resourceType": "Patient", "id": "1", "extension": [{"url": "urn:a?use=work"}, {"url": "urn:b"}]}
    assert merged(urls, merge(bare, {"extension[urn:a?use=work]"}))["extension"] == [{"url": "urn:b"}]


def test_a_concept_is_of_the_kind_of_one_of_its_codings() -> None:
    parts = [{"type": [{"coding": [{"code": "ATND"}]}]}, {"type": [{"coding": [{"code": "REF"}]}]}]
    stored: Resource = {"resourceType": "Encounter", "id": "1", "participant": parts}
    change = Change(Method.MERGE, "Encounter", "1", {}, remove=frozenset({"participant[type=REF]"}))
    assert merged(stored, change)["participant"] == parts[:1]


ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "error"}
SENT = {"url": "http://hl7.org/fhir/StructureDefinition/originalText", "valueString": "05.05.1950"}
UNREADABLE = {"extension": [ABSENT, SENT]}


def test_a_value_that_nobody_could_read_leaves_the_stored_one_and_stands_beside_it() -> None:
    told: Resource = {"resourceType": "Patient", "_birthDate": UNREADABLE}
    content = merged(STORED, merge(told))
    assert content == STORED | {"_birthDate": {"id": "b", "extension": [SENT]}}
    assert merged(content, merge(told)) == content
    again = merged(content, merge({"resourceType": "Patient", "birthDate": "1950-05-05"}))
    assert again["birthDate"] == "1950-05-05"
    assert "_birthDate" not in again


def test_a_value_that_nobody_could_read_is_kept_as_sent_where_there_was_none() -> None:
    told: Resource = {"resourceType": "Patient", "_birthDate": UNREADABLE}
    assert merged(None, merge(told))["_birthDate"] == UNREADABLE
    taken = merged(STORED, merge(told, remove={"birthDate"}))
    assert "birthDate" not in taken
    assert taken["_birthDate"] == UNREADABLE


def test_an_unreadable_one_of_a_choice_leaves_the_other_one() -> None:
    stored = STORED | {"deceasedBoolean": True}
    content = merged(stored, merge({"resourceType": "Patient", "_deceasedDateTime": UNREADABLE}))
    assert content == stored | {"_deceasedBoolean": {"extension": [SENT]}}


def test_what_is_said_to_be_unknown_without_a_text_replaces_what_was_there() -> None:
    content = merged(STORED, merge({"resourceType": "Patient", "_birthDate": {"extension": [ABSENT]}}))
    assert "birthDate" not in content


def test_an_unreadable_end_of_a_period_that_is_joined_leaves_the_stored_end() -> None:
    stored: Resource = {"resourceType": "Encounter", "id": "1", "period": {"start": "2026-01-01", "end": "2026-01-02"}}
    told: Resource = {"resourceType": "Encounter", "period": {"_end": UNREADABLE}}
    change = Change(Method.MERGE, "Encounter", "1", told, union=frozenset({"period"}))
    end = {"extension": [SENT]}
    assert merged(stored, change) == stored | {"period": {**stored["period"], "_end": end}}
