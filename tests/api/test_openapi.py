"""The OpenAPI description is the table of routes."""

from __future__ import annotations

from typing import Any

from hawsepipe.api.routes import TABLE


async def test_the_description_has_an_operation_for_each_row_and_no_other(service: Any) -> None:
    answer = await service.ask("GET", "openapi.json", token=None)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    described = {(method.upper(), path) for path, methods in answer.json["paths"].items() for method in methods}
    assert described == {(row.method, "/" + "/".join(row.pattern)) for row in TABLE}
    names = [it["operationId"] for methods in answer.json["paths"].values() for it in methods.values()]
    assert len(names) == len(set(names))


async def test_each_path_names_its_parameters_and_public_rows_need_no_token(service: Any) -> None:
    paths = (await service.ask("GET", "openapi.json", token=None)).json["paths"]
    for path, methods in paths.items():
        for operation in methods.values():
            named = {it["name"] for it in operation["parameters"] if it["in"] == "path"}
            assert named == {part.strip("{}") for part in path.split("/") if part.startswith("{")}
    public = {path for path, methods in paths.items() if any("security" not in it for it in methods.values())}
    assert public == {"/metadata", "/.well-known/smart-configuration", "/openapi.json"}
    kinds = paths["/{type}/{id}/$everything"]["get"]["parameters"][0]["schema"]["enum"]
    assert kinds == ["Encounter", "Patient"]


async def test_options_tells_the_methods_of_an_address(service: Any) -> None:
    answer = await service.ask("OPTIONS", "Patient/ann", token=None)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Allow"] == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert (await service.ask("OPTIONS", "Nothing/x", token=None)).status in {401, 404}
