"""XML over HTTP (https://hl7.org/fhir/R4/http.html#mime-type)."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.fhir import codec, xml_codec
from hawsepipe.model import Resource

XML = "application/fhir+xml"


@pytest.mark.parametrize(
    "path", ["Patient/ann", "Patient", "Patient/ann/_history", "metadata", "Patient/nobody", "Nothing"]
)
async def test_every_answer_comes_in_xml_too(service: Any, ann: Resource, path: str) -> None:
    await service.put(ann)
    json = await service.ask("GET", path, Accept="application/fhir+json")
    xml = await service.ask("GET", path, Accept=XML)
    assert xml.status == json.status
    assert xml.headers["Content-Type"] == f"{XML}; charset=utf-8"
    if path != "metadata":
        assert xml_codec.decode(xml.body) == codec.decode(json.body)
    query = await service.ask("GET", f"{path}?_format=xml&_pretty=true")
    assert query.body.startswith(b"<?xml")


async def test_a_resource_is_created_updated_and_read_in_xml(service: Any, ann: Resource) -> None:
    body = xml_codec.encode({key: held for key, held in ann.items() if key != "id"})
    made = await service.ask("POST", "Patient", body, Content_Type=XML, Accept=XML)
    assert made.status == 201
    sent = xml_codec.decode(made.body)
    changed = xml_codec.encode({**sent, "gender": "other"})
    answer = await service.ask("PUT", f"Patient/{sent['id']}", changed, Content_Type=f"{XML}; charset=utf-8")
    assert (answer.status, answer.json["gender"]) == (200, "other")


async def test_decimals_survive_xml(service: Any, ann: Resource) -> None:
    await service.put(ann)
    body = (
        '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code><subject>'
        '<reference value="Patient/ann"/></subject><valueQuantity><value value="1.00"/></valueQuantity></Observation>'
    )
    made = await service.ask("POST", "Observation", body.encode(), Content_Type=XML)
    assert b'"value":1.00}' in made.body
    read = await service.ask("GET", f"Observation/{made.json['id']}?_format=xml")
    assert b'<value value="1.00"/>' in read.body


async def test_xml_with_a_document_type_is_refused(service: Any) -> None:
    body = b'<!DOCTYPE a [<!ENTITY b "c">]><Patient xmlns="http://hl7.org/fhir"><gender value="&b;"/></Patient>'
    answer = await service.ask("POST", "Patient", body, Content_Type=XML)
    assert answer.status == 400
    assert "document type" in answer.told()[0]


async def test_a_transaction_comes_in_xml(service: Any, ann: Resource) -> None:
    sent = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"resource": ann, "request": {"method": "POST", "url": "Patient"}}],
    }
    answer = await service.ask("POST", "", xml_codec.encode(sent), Content_Type=XML, Accept=XML)
    assert answer.status == 200
    assert xml_codec.decode(answer.body)["entry"][0]["response"]["status"] == "201 Created"


async def test_a_fhirpath_patch_comes_in_xml(service: Any, ann: Resource) -> None:
    await service.put(ann)
    part = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.gender"},
        {"name": "value", "valueCode": "other"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": part}]}
    answer = await service.ask("PATCH", "Patient/ann", xml_codec.encode(patch), Content_Type=XML)
    assert (answer.status, answer.json["gender"]) == (200, "other")
