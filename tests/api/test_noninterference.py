"""Hidden and absent are one: the same status, headers and bytes, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.api.routes import TABLE
from hawsepipe.consent import judge, referring
from hawsepipe.errors import StoreError
from hawsepipe.model import Decision, Resource
from hawsepipe_conformance import traces
from hawsepipe_conformance.trace_world import SEEN

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


async def test_random_requests_over_every_door_answer_as_if_the_hidden_were_not_there(tmp_path: Path) -> None:
    found: list[str] = []
    counts = await traces.run(180, 7, tmp_path, found.append)
    assert found == []
    doors = {f"{route.method} {'/'.join(route.pattern)}" for route in TABLE if route.run is not None}
    assert counts.keys() == doors


@pytest.mark.soak
async def test_ten_thousand_requests_over_every_door_answer_as_if_the_hidden_were_not_there(tmp_path: Path) -> None:
    found: list[str] = []
    await traces.run(10_000, 8, tmp_path, found.append)
    assert found == []


async def _everything(*_: object) -> Any:
    return judge.EVERYTHING


async def _permitted(_: object, version: object) -> Decision:
    return Decision(version is not None, ("no gate",))


async def _unchecked(*_: object) -> None:
    return None


@pytest.mark.soak
@pytest.mark.parametrize(
    ("owner", "name", "without"),
    [
        (judge.Judge, "visibility", _everything),
        (judge.Sitting, "decide", _permitted),
        (referring.Targets, "check", _unchecked),
    ],
)
async def test_the_requests_notice_when_a_part_of_the_gate_is_taken_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, without: Any
) -> None:
    monkeypatch.setattr(owner, name, without)
    found: list[str] = []
    await traces.run(240, 5, tmp_path, found.append)
    assert found


ABOUT_WHAT_IS_SENT = {"POST {type}/$validate", "POST {type}/{id}/$validate", "POST {type}/$expand"}
"""Doors that answer about the content of the request alone."""


class Forgetful:
    """A store whose access record has no room."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, accesses: Any) -> None:
        raise StoreError("no room for the access record")


async def test_no_door_gives_anything_that_cannot_be_recorded(service: Any, ann: Resource) -> None:
    """No audit, no data: over every row of the table, and nothing is written either."""
    await service.put({**ann, "id": "p"}, *(it for it in SEEN if f"{it['resourceType']}/{it['id']}" != "Patient/p"))
    held = service.gate.store
    service.gate.store = Forgetful(held)
    before = await held.changes(None, judge.EVERYTHING, None, None, 1000)
    drawn = traces.Traces(3)
    for number in range(4 * len(drawn.doors)):
        asked = drawn.drawn(number)
        sent = {name.replace("-", "_"): value for name, value in (asked.headers or {}).items()}
        answer = await service.ask(asked.method, asked.path, asked.body, **sent)
        # A batch answers 200 with the failures of its entries, and subscriptions are the client's own.
        open_ = asked.door in ABOUT_WHAT_IS_SENT or not asked.path or asked.path.startswith("Subscription")
        assert open_ or (answer.status >= 202 and answer.status != 304), asked
        for word in (b"Lindqvist", b"Lindgren", b"2345-7", b"Alm", b"Ward"):
            assert word not in answer.body or word in (asked.body or b""), (asked, answer)
    assert await held.changes(None, judge.EVERYTHING, None, None, 1000) == before


async def test_no_door_is_open_without_a_token_nor_with_one_that_covers_nothing(service: Any, ann: Resource) -> None:
    """Each row of the table: a new one that answers by itself is noticed here."""
    await service.put({**ann, "id": "p"})
    drawn, nothing = traces.Traces(1), service.token(scopes=("openid",))
    for number in range(len(drawn.doors)):
        asked = replace(drawn.drawn(number), headers=None)
        sent = {"Content_Type": "application/fhir+json"} if asked.body is not None else {}
        closed = await service.ask(asked.method, asked.path, asked.body, token=None, **sent)
        assert closed.status == 401, asked
        refused = await service.ask(asked.method, asked.path, asked.body, token=nothing, **sent)
        known = refused.status in {400, 403, 404, 405, 415} or b"403" in refused.body
        assert known or asked.door in ABOUT_WHAT_IS_SENT, (asked, refused)
        assert b"Lindqvist" not in refused.body, asked
