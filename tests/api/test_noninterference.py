"""Hidden and absent are one: the same status, headers and bytes, whatever is asked."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.model import Resource

HIDDEN = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}
CHANGING = {"Date", "Last-Modified", "X-Request-Id"}

REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("GET", "Patient/{id}", {}),
    ("HEAD", "Patient/{id}", {}),
    ("GET", "Patient/{id}", {"If_None_Match": 'W/"1"'}),
    ("GET", "Patient/{id}/_history", {}),
    ("GET", "Patient/{id}/_history/1", {}),
    ("GET", "Patient/_history", {}),
    ("GET", "_history?_count=1", {}),
    ("GET", "Patient?_id={id}&_total=accurate", {}),
    ("GET", "Patient?identifier={id}&_total=accurate", {}),
    ("PUT", "Patient/{id}", {}),
    ("PUT", "Patient/{id}", {"If_Match": 'W/"1"'}),
    ("PUT", "Patient/{id}", {"If_Match": 'W/"7"'}),
    ("PUT", "Patient/{id}", {"If_None_Match": "*"}),
    ("PUT", "Patient?identifier={id}", {"If_Match": 'W/"1"'}),
    ("PUT", "Patient?_id={id}", {}),
    ("PATCH", "Patient/{id}", {}),
    ("PATCH", "Patient/{id}", {"If_Match": 'W/"1"'}),
    ("PATCH", "Patient?identifier={id}", {}),
    ("DELETE", "Patient/{id}", {}),
    ("DELETE", "Patient/{id}", {"If_Match": 'W/"1"'}),
    ("DELETE", "Patient?identifier={id}", {}),
    ("DELETE", "Patient?identifier={id}", {"If_Match": 'W/"1"'}),
]


@pytest.mark.parametrize("deleted", [False, True], ids=["hidden", "hidden and deleted"])
async def test_hidden_and_absent_are_one_in_every_interaction(service: Any, ann: Resource, deleted: bool) -> None:
    await service.put({**ann, "id": "hide", "identifier": [{"value": "hide"}], "meta": {"security": [HIDDEN]}})
    if deleted:
        await service.delete("Patient", "hide")
    before = await service.store.read("Patient", "hide")
    for method, path, headers in REQUESTS:
        answers = []
        for identity in ("hide", "lack"):
            sent: Any = {**ann, "id": identity} if method in {"PUT", "POST"} else None
            if "_id=" in path and sent is not None:
                sent["id"] = "other"
            if method == "PATCH":
                sent, headers = b"[]", {**headers, "Content_Type": "application/json-patch+json"}
            answer = await service.ask(method, path.format(id=identity), sent, **headers)
            kept = sorted((name, value) for name, value in answer.headers.items() if name not in CHANGING)
            text = f"{answer.status} {kept} {answer.body!r}"
            answers.append(text.replace(identity, "ID"))
        assert answers[0] == answers[1], (method, path, headers)
    after = await service.store.read("Patient", "hide")
    assert after.version == before.version
