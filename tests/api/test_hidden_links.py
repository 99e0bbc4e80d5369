"""Links between records of one person, of which the requester sees none or some."""

from __future__ import annotations

from typing import Any

from hawsepipe.model import Resource


async def test_a_link_between_hidden_records_leads_nobody_anywhere(service: Any, ann: Resource) -> None:
    hidden = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}]}

    def link(other: str, kind: str) -> list[Resource]:
        return [{"other": {"reference": f"Patient/{other}"}, "type": kind}]

    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/old"}}
    await service.put(
        {**ann, "id": "new", "meta": hidden, "link": link("old", "replaces")},
        {**ann, "id": "old", "meta": hidden, "link": link("new", "replaced-by")},
        condition,
    )
    assert (await service.ask("GET", "Condition/c")).status == 200
    for query in ("Condition?subject=Patient/new", "Condition?patient=new", "Patient/new/Condition"):
        assert "entry" not in (await service.ask("GET", query)).json
        assert (await service.ask("GET", query.replace("new", "old"))).json["entry"]
    assert (await service.ask("DELETE", "Condition?subject=Patient/new")).status == 204
    assert (await service.ask("GET", "Condition/c")).status == 200
    assert (await service.ask("DELETE", "Condition?subject=Patient/old")).status == 204
    assert (await service.ask("GET", "Condition/c")).status == 410


async def test_a_link_between_visible_records_leads_to_the_person(service: Any, ann: Resource) -> None:
    await service.put(
        {**ann, "id": "new", "link": [{"other": {"reference": "Patient/old"}, "type": "replaces"}]},
        {**ann, "id": "old", "link": [{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]},
        {"resourceType": "Condition", "id": "c", "subject": {"reference": "Patient/old"}},
    )
    for query in ("Condition?subject=Patient/new", "Condition?patient=new", "Patient/new/Condition"):
        assert (await service.ask("GET", query)).json["entry"]
