"""What search servers get wrong without a word: one test for each (R4 search: https://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def observation(id_: str, *codes: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code} for code in codes]} if codes else {"text": "none"},
        "subject": {"reference": "Patient/ann"},
        **more,
    }


def part(code: str, number: int) -> dict[str, Any]:
    quantity = {"value": number, "unit": "mm", "system": UCUM, "code": "mm[Hg]"}
    return {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": quantity}


async def ids(service: Any, query: str) -> list[str]:
    answer = await service.ask("GET", query, Prefer="handling=strict")
    assert answer.status == 200, answer.body
    entries = answer.json.get("entry", [])
    return sorted(it["resource"]["id"] for it in entries if it["search"]["mode"] == "match")


async def test_not_leaves_out_a_concept_of_which_any_coding_is_meant(service: Any, ann: Resource) -> None:
    await service.put(ann, observation("both", "A", "B"), observation("other", "B"), observation("text"))
    assert await ids(service, "Observation?code:not=A") == ["other", "text"]
    assert await ids(service, "Observation?code:not=A,B") == ["text"]


async def test_not_in_gives_what_is_in_no_such_set(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "none", "gender": "male"}, {"resourceType": "Patient", "id": "unsaid"})
    sex = "http://hl7.org/fhir/ValueSet/administrative-gender"
    assert await ids(service, f"Patient?gender:in={sex}") == ["ann", "none"]
    assert await ids(service, f"Patient?gender:not-in={sex}") == ["unsaid"]


async def test_a_composite_holds_of_one_component(service: Any, ann: Resource) -> None:
    await service.put(ann)
    await service.put(
        observation("high", "85354-9", component=[part("8480-6", 150), part("8462-4", 80)]),
        observation("crossed", "85354-9", component=[part("8480-6", 110), part("8462-4", 150)]),
    )
    asked = "component-code-value-quantity=8480-6$gt140"
    assert await ids(service, f"Observation?{asked}") == ["high"]
    assert await ids(service, "Observation?combo-code-value-quantity=8462-4$gt140") == ["crossed"]
    assert await ids(service, f"Observation?component-code-value-quantity={LOINC}|8462-4$lt11|{UCUM}|kPa") == ["high"]


async def test_tag_profile_security_and_source_are_searched_by(service: Any, ann: Resource) -> None:
    marked = {
        "tag": [{"system": "urn:t", "code": "a"}],
        "profile": ["http://p/1"],
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}],
        "source": "urn:feed:1",
    }
    await service.put(ann, {**ann, "id": "marked", "meta": marked})
    for asked in ("_tag=urn:t|a", "_tag=a", "_profile=http://p/1", "_source=urn:feed:1"):
        assert await ids(service, f"Patient?{asked}") == ["marked"], asked
    assert "marked" in await ids(service, "Patient?_security=N")
    assert await ids(service, "Patient?_tag:not=a") == ["ann"]


async def test_missing_finds_both_what_is_there_and_what_is_not(service: Any, ann: Resource) -> None:
    await service.put(ann, {"resourceType": "Patient", "id": "bare"})
    for name in ("birthdate", "gender", "identifier", "family"):
        assert await ids(service, f"Patient?{name}:missing=true") == ["bare"], name
        assert await ids(service, f"Patient?{name}:missing=false") == ["ann"], name


async def test_a_chain_goes_by_every_intermediate(service: Any) -> None:
    """Not by the first hundred, thousand or two thousand and four."""
    people = [{"resourceType": "Patient", "id": f"p{number}", "gender": "female"} for number in range(2_100)]
    for start in range(0, len(people), 700):
        await service.put(*people[start : start + 700])
    last = observation("last", "A", subject={"reference": "Patient/p2099"})
    await service.put(last)
    assert await ids(service, "Observation?patient.gender=female") == ["last"]
    seen = 0
    address: str | None = "Patient?_count=1000"
    while address is not None:
        answer = await service.ask("GET", address)
        seen += len(answer.json["entry"])
        address = next((it["url"] for it in answer.json["link"] if it["relation"] == "next"), None)
    assert seen == 2_100


async def test_an_unqualified_chain_asks_every_type_that_the_reference_names(service: Any, ann: Resource) -> None:
    await service.put(ann, {"resourceType": "Device", "id": "pump", "identifier": [{"value": "4711"}]})
    await service.put(observation("of-ann"), observation("of-pump", subject={"reference": "Device/pump"}))
    found = await ids(service, "Observation?subject.identifier=4711")
    assert "of-ann" in found
    # What hangs on a device alone names no patient: whether it is seen is for consent to say, not for the chain.
    assert set(found) <= {"of-ann", "of-pump"}


async def test_has_takes_a_system_that_is_a_url_and_keeps_every_hop(service: Any, ann: Resource) -> None:
    await service.put(ann, {**ann, "id": "other"}, {"resourceType": "Practitioner", "id": "dr"})
    await service.put(observation("o", "A"))
    told = {"resourceType": "DiagnosticReport", "id": "dr", "status": "final", "code": {"text": "x"},
            "subject": {"reference": "Patient/ann"}, "performer": [{"reference": "Practitioner/dr"}],
            "result": [{"reference": "Observation/o"}]}  # fmt: skip
    await service.put(told)
    assert await ids(service, f"Patient?_has:Observation:patient:code={LOINC}|A") == ["ann"]
    nested = "Patient?_has:Observation:patient:_has:DiagnosticReport:result:performer=Practitioner/"
    assert await ids(service, f"{nested}dr") == ["ann"]
    assert await ids(service, f"{nested}nobody") == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("2026-03-01", ["day", "evening"]),
        ("eq2026-03", ["day", "evening", "month", "next"]),
        ("gt2026-03-01", ["month", "next"]),
        ("sa2026-03-01", ["next"]),
        ("lt2026-03-01", []),
        ("le2026-03-01", ["day", "evening"]),
        ("ge2026-03-02", ["month", "next"]),
        ("eb2026-03-02", ["day", "evening"]),
        ("ne2026-03-01", ["month", "next"]),
        ("2026-03-01T23:30:00Z", ["evening"]),
        ("2026-03-02T00:30:00%2B01:00", ["evening"]),
    ],
)
async def test_days_months_and_zones_are_intervals(
    service: Any, ann: Resource, asked: str, expected: list[str]
) -> None:
    times = {"day": "2026-03-01", "evening": "2026-03-01T23:30:00Z", "month": "2026-03", "next": "2026-03-02T00:00:00Z"}
    await service.put(ann, *(observation(name, effectiveDateTime=when) for name, when in times.items()))
    assert await ids(service, f"Observation?date={asked}") == expected


async def test_a_timing_is_searched_by_its_outer_limits(service: Any, ann: Resource) -> None:
    events = ["2026-03-01", "2026-03-05T08:00:00Z"]
    bounds = {"repeat": {"boundsPeriod": {"start": "2026-03-01"}}}
    await service.put(
        ann, observation("twice", effectiveTiming={"event": events}), observation("on", effectiveTiming=bounds)
    )
    assert await ids(service, "Observation?date=ge2026-03-04") == ["on", "twice"]
    assert await ids(service, "Observation?date=sa2026-03-01") == []
    assert await ids(service, "Observation?date=2026-03") == ["twice"]  # an open end is in no month


async def test_paging_gives_each_entry_once_while_others_write(service: Any) -> None:
    before = [{"resourceType": "Patient", "id": f"p{number}"} for number in range(9)]
    await service.put(*before)
    seen: list[str] = []
    totals = set()
    address: str | None = "Patient?_count=2&_total=accurate"
    turn = 0
    while address is not None:
        answer = await service.ask("GET", address)
        seen += [it["resource"]["id"] for it in answer.json["entry"]]
        totals.add(answer.json["total"])
        turn += 1
        await service.put({"resourceType": "Patient", "id": f"p{turn}", "active": True})
        if turn == 2:
            await service.put({"resourceType": "Patient", "id": "late"})
        address = next((it["url"] for it in answer.json["link"] if it["relation"] == "next"), None)
    assert seen == [*(f"p{number}" for number in range(9)), "late"]
    assert totals == {9, 10}


async def test_escapes_are_part_of_values(service: Any) -> None:
    values = {"comma": "a,b", "bar": "a|b", "dollar": "a$b", "back": "a\\b"}
    await service.put(
        *({"resourceType": "Patient", "id": name, "identifier": [{"value": text}]} for name, text in values.items())
    )
    for name, text in (("comma", r"a\,b"), ("bar", r"a\|b"), ("dollar", r"a\$b"), ("back", r"a\\b")):
        assert await ids(service, f"Patient?identifier={text}") == [name]


async def test_units_are_converted_and_precision_is_kept(service: Any, ann: Resource) -> None:
    def glucose(id_: str, value: Any, unit: str) -> Resource:
        return observation(id_, "A", valueQuantity={"value": value, "unit": unit, "system": UCUM, "code": unit})

    await service.put(ann, glucose("mg", 54, "mg/dL"), glucose("g", 0.54, "g/L"), glucose("mmol", 54, "mmol/L"))
    assert await ids(service, f"Observation?value-quantity=54|{UCUM}|mg/dL") == ["g", "mg"]
    assert await ids(service, f"Observation?value-quantity=gt0.5|{UCUM}|g/L") == ["g", "mg"]
    assert await ids(service, f"Observation?value-quantity=0.5400|{UCUM}|g/L") == ["g", "mg"]
    assert await ids(service, f"Observation?value-quantity=55|{UCUM}|mg/dL") == []
    assert await ids(service, "Observation?value-quantity=54") == ["mg", "mmol"]


async def test_what_is_sorted_is_in_that_order(service: Any) -> None:
    dates = {"a": "1980-01-01", "b": "1970-05", "c": "1970-05-02"}
    await service.put(*({"resourceType": "Patient", "id": name, "birthDate": day} for name, day in dates.items()))
    await service.put({"resourceType": "Patient", "id": "d"})
    for asked, expected in (("birthdate", "bcad"), ("-birthdate", "abcd"), ("-birthdate,_id", "abcd")):
        answer = await service.ask("GET", f"Patient?_sort={asked}")
        assert "".join(it["resource"]["id"] for it in answer.json["entry"]) == expected, asked


async def test_words_are_found_in_narratives_and_in_everything(service: Any, ann: Resource) -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">A <b>rare</b> case</div>'}
    await service.put({**ann, "text": text})
    assert await ids(service, "Patient?_text=rare%20case") == ["ann"]
    assert await ids(service, "Patient?_text=lindqvist") == []
    assert await ids(service, "Patient?_content=LINDQVIST%20rare") == ["ann"]
    assert await ids(service, "Patient?_content=div") == []


async def test_a_circle_on_the_earth_holds_what_is_near(service: Any) -> None:
    places = {"palace": (59.3268, 18.0717), "museum": (59.3280, 18.0914), "lund": (55.7047, 13.1910)}
    for name, (north, east) in places.items():
        position = {"latitude": north, "longitude": east}
        await service.put({"resourceType": "Location", "id": name, "position": position})
    assert await ids(service, "Location?near=59.3268|18.0717|500|m") == ["palace"]
    assert await ids(service, "Location?near=59.3268|18.0717|2|km") == ["museum", "palace"]
    assert await ids(service, "Location?near=59.3268|18.0717") == ["museum", "palace"]
    assert await ids(service, "Location?near=59.3268|18.0717|1000|km") == ["lund", "museum", "palace"]


async def test_count_nought_gives_the_total_alone(service: Any, ann: Resource) -> None:
    await service.put(ann)
    answer = await service.ask("GET", "Patient?_count=0&family=lind")
    assert (answer.json["total"], answer.json.get("entry")) == (1, None)
    for total, shown in (("none", False), ("accurate", True), ("estimate", True)):
        bundle = (await service.ask("GET", f"Patient?_total={total}")).json
        assert ("total" in bundle) is shown
