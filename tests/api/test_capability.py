"""The CapabilityStatement says what the table of routes and the search parameters say, and nothing else."""

from __future__ import annotations

from typing import Any

from hawsepipe.api.routes import ELSEWHERE, TABLE
from hawsepipe.fhir import definitions
from hawsepipe.fhir.content import component_parameters
from hawsepipe.fhir.validate import Validator


async def test_metadata_is_public_and_valid_r4(service: Any) -> None:
    answer = await service.ask("GET", "metadata", token=None)
    assert answer.status == 200
    assert answer.json["fhirVersion"] == "4.0.1"
    assert not Validator(definitions.load()).check(answer.json)


async def test_every_claimed_interaction_is_routed_and_the_other_way_round(service: Any) -> None:
    statement = (await service.ask("GET", "metadata", token=None)).json
    patient = next(it for it in statement["rest"][0]["resource"] if it["type"] == "Patient")
    claimed = {it["code"] for it in patient["interaction"]}
    rows = [row for row in TABLE if "{type}" in row.pattern]
    assert claimed == {row.code for row in rows if not row.code.startswith("$")}
    for entry in statement["rest"][0]["resource"]:
        here = {it.code for it in rows if it.code.startswith("$") and (it.only is None or entry["type"] in it.only)}
        if entry["type"] in ELSEWHERE:
            own = [row for row in TABLE if row.kind == entry["type"]]
            assert {it["code"] for it in entry["interaction"]} == {it.code for it in own if not it.code.startswith("$")}
            here = {it.code for it in own if it.code.startswith("$")}
        if entry["type"] in {"AuditEvent", "Provenance"}:
            here -= {"$meta-add", "$meta-delete"}
        assert {f"${it['name']}" for it in entry["operation"]} == here
    system = {it["code"] for it in statement["rest"][0]["interaction"]}
    assert system == {"transaction", "batch", "history-system", "search-system"}
    observation = next(it for it in statement["rest"][0]["resource"] if it["type"] == "Observation")
    assert "everything" not in {it["name"] for it in observation["operation"]}


async def test_what_is_claimed_of_conditions_is_so(service: Any) -> None:
    statement = (await service.ask("GET", "metadata", token=None)).json
    for entry in statement["rest"][0]["resource"]:
        writes = "create" in {it["code"] for it in entry["interaction"]}
        told = (entry["conditionalCreate"], entry["conditionalUpdate"], entry["conditionalDelete"])
        conditional = writes and entry["type"] not in ELSEWHERE
        assert told == ((True, True, "single") if conditional else (False, False, "not-supported"))
    assert statement["format"] == ["application/fhir+json", "json", "application/fhir+xml", "xml"]
    assert statement["patchFormat"][0] == "application/json-patch+json"


async def test_what_the_server_alone_writes_is_not_offered_for_writing(service: Any) -> None:
    statement = (await service.ask("GET", "metadata", token=None)).json
    for entry in statement["rest"][0]["resource"]:
        claimed = {it["code"] for it in entry["interaction"]}
        assert claimed.isdisjoint({"create", "update"}) == (entry["type"] in {"AuditEvent", "Provenance"})
        assert "read" in claimed
        assert entry["versioning"] == "versioned-update"
    for kind in ("AuditEvent", "Provenance"):
        officer = service.token(roles=("privacy-officer",))
        for method, path, sent in (("POST", kind, {}), ("PUT", f"{kind}/x", {"id": "x"})):
            answer = await service.ask(method, path, {"resourceType": kind, **sent}, token=officer)
            assert answer.status == 403


async def test_every_claimed_search_parameter_is_accepted(service: Any) -> None:
    statement = (await service.ask("GET", "metadata", token=None)).json
    for name in ("Patient", "Observation", "Location"):
        entry = next(it for it in statement["rest"][0]["resource"] if it["type"] == name)
        assert len(entry["searchParam"]) > 3
        for parameter in entry["searchParam"]:
            value = {
                "date": "2020",
                "number": "1",
                "quantity": "1",
                "reference": "Patient/1",
                "uri": "urn:x",
                "special": "1|1",
            }
            text = value.get(parameter["type"], "a")
            if parameter["type"] == "composite":
                parts = component_parameters(name, parameter["name"])
                text = "$".join(value.get(part.kind.value, "a") for part in parts)
            answer = await service.ask("GET", f"{name}?{parameter['name']}={text}", Prefer="handling=strict")
            assert answer.status == 200, parameter


async def test_what_is_said_to_be_included_is(service: Any) -> None:
    statement = (await service.ask("GET", "metadata", token=None)).json
    entry = next(it for it in statement["rest"][0]["resource"] if it["type"] == "Encounter")
    assert {"*", "Encounter:patient"} <= set(entry["searchInclude"])
    assert {"Observation:encounter", "Provenance:target"} <= set(entry["searchRevInclude"])
    for name, told in (("_include", entry["searchInclude"]), ("_revinclude", entry["searchRevInclude"])):
        answer = await service.ask("GET", "Encounter?" + "&".join(f"{name}={it}" for it in told[:40]),
                                   Prefer="handling=strict")  # fmt: skip
        assert answer.status == 200


async def test_smart_configuration_is_public_and_says_where_tokens_come_from(service: Any) -> None:
    answer = await service.ask("GET", ".well-known/smart-configuration", token=None)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["token_endpoint"] == "https://fhir.example.org/auth/token"
    assert "private_key_jwt" in answer.json["token_endpoint_auth_methods_supported"]


async def test_terminology_has_a_statement_of_its_own(service: Any) -> None:
    answer = await service.ask("GET", "metadata?mode=terminology", token=None)
    assert answer.status == 200
    assert answer.json["resourceType"] == "TerminologyCapabilities"
    assert not Validator(definitions.load()).check(answer.json)
    named = {it["uri"] for it in answer.json["codeSystem"]}
    assert "http://hl7.org/fhir/administrative-gender" in named
    for mode in ("full", "normative"):
        same = await service.ask("GET", f"metadata?mode={mode}", token=None)
        assert same.json["resourceType"] == "CapabilityStatement"
