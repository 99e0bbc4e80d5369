"""SMART Backend Services against a real server on loopback: registered systems get what they are registered for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from joserfc.jwk import Key

from hawsepipe.auth import clients, endpoint
from hawsepipe.auth.authorization import ASSERTION, AuthorizationServer
from hawsepipe.auth.issuer import Issuer
from hawsepipe.auth.replays import Replays
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import ConfigError

TOKEN_URL = "https://fhir.example.org/auth/token"
ISSUED = 1772366400

Ask = Callable[..., Any]


def registration(keys: dict[str, Key], **changes: Any) -> dict[str, Any]:
    return {
        "id": "lab",
        "jwks": {"keys": [{**keys["ec"].as_dict(private=False), "kid": "ec"}]},
        "scopes": ["system/Observation.rs", "system/Patient.read", "system/Encounter.rs?status=finished"],
        "purposes": ["TREAT", "HPAYMT"],
        "roles": ["laboratory"],
        "organization": "Organization/1",
        **changes,
    }


def claims(**changes: Any) -> dict[str, Any]:
    whole = {
        "iss": "lab",
        "sub": "lab",
        "aud": TOKEN_URL,
        "exp": ISSUED + 300,
        "jti": "a-1",
        "purpose_of_use": "TREAT",
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


@pytest.fixture
def replays(tmp_path: Path) -> Path:
    return tmp_path / "assertions"


@pytest.fixture
async def ask(issuer: Issuer, keys: dict[str, Key], watch: Any, replays: Path) -> AsyncIterator[Ask]:
    """Post a form to a real token endpoint and return (status, body, headers)."""
    numbers = count(1)
    server = AuthorizationServer(
        issuer,
        clients.registered([registration(keys)], setting="auth.clients"),
        Replays(replays),
        token_url=TOKEN_URL,
        clock=watch,
        token_ids=lambda: f"t-{next(numbers)}",
        tenant="main",
    )
    app = web.Application()
    app.add_routes(endpoint.routes(server))
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def post(assertion: str | None = None, *, data: Any = None, path: str = "/auth/token", **changes: Any) -> Any:
        form = {
            "grant_type": "client_credentials",
            "scope": "system/Observation.rs",
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion or "",
            **changes,
        }
        sent = form if data is None else data
        async with ClientSession() as session, session.post(address + path, data=sent) as answer:
            return answer.status, await answer.json(), answer.headers

    try:
        yield post
    finally:
        await runner.cleanup()


async def test_a_registered_client_gets_a_token_that_the_api_accepts(
    ask: Ask, sign: Callable[..., str], issuer: Issuer, watch: Any
) -> None:
    status, body, headers = await ask(sign(claims(), typ="JWT"), scope="system/Observation.rs system/Patient.rs")
    assert status == 200
    assert headers["Cache-Control"] == "no-store"
    assert (body["token_type"], body["expires_in"]) == ("bearer", 300)
    assert body["scope"] == "system/Observation.rs system/Patient.rs"
    verifier = TokenVerifier({issuer.url: issuer.keys()}, issuer.audience, watch, tenants=frozenset({"main"}))
    who = verifier.verify(body["access_token"])
    assert (who.subject, who.client, who.purpose) == ("Device/lab", "lab", "TREAT")
    assert who.roles == {"laboratory"}
    assert who.actors == {"Device/lab", "Organization/1"}


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Observation.r", "system/Observation.r"),
        ("system/Observation.cruds system/Observation.s", "system/Observation.s"),
        ("system/*.rs system/Patient.r", "system/Patient.r"),
        ("system/Encounter.rs?status=finished system/Encounter.rs", "system/Encounter.rs?status=finished"),
        ("user/Observation.rs system/Observation.read", "system/Observation.read"),
    ],
)
async def test_only_scopes_inside_the_registration_are_granted(
    asked: str, granted: str, ask: Ask, sign: Callable[..., str]
) -> None:
    status, body, _ = await ask(sign(claims(), typ="JWT"), scope=asked)
    assert (status, body["scope"]) == (200, granted)


async def test_nothing_inside_the_registration_is_an_invalid_scope(ask: Ask, sign: Callable[..., str]) -> None:
    status, body, _ = await ask(sign(claims(), typ="JWT"), scope="system/*.cruds")
    assert (status, body["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("purpose", [None, "HRESCH"])
async def test_the_purpose_must_be_a_registered_one(purpose: str | None, ask: Ask, sign: Callable[..., str]) -> None:
    status, body, _ = await ask(sign(claims(purpose_of_use=purpose), typ="JWT"))
    assert (status, body["error"]) == (400, "invalid_grant")


BAD_ASSERTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an access token": ({}, {"typ": "at+jwt"}),
    "unknown client": ({"iss": "other", "sub": "other"}, {}),
    "iss and sub differ": ({"sub": "other"}, {}),
    "other audience": ({"aud": "https://fhir.example.org/fhir"}, {}),
    "expires too late": ({"exp": ISSUED + 600}, {}),
    "expired": ({"exp": ISSUED - 60}, {}),
    "without expiry": ({"exp": None}, {}),
    "without jti": ({"jti": None}, {}),
    "another's key": ({}, {"kid": "stranger"}),
    "key address": ({}, {"jku": "https://evil.example.org/jwks"}),
    "unknown purpose": ({"purpose_of_use": "CURIOSITY"}, {}),
}


@pytest.mark.parametrize(("change", "header"), BAD_ASSERTIONS.values(), ids=BAD_ASSERTIONS.keys())
async def test_a_wrong_assertion_is_an_invalid_client(
    change: dict[str, Any], header: dict[str, Any], ask: Ask, sign: Callable[..., str]
) -> None:
    status, body, _ = await ask(sign(claims(**change), **{"typ": "JWT", **header}))
    assert (status, body["error"]) == (401, "invalid_client")
    assert "access_token" not in body


async def test_an_assertion_is_accepted_once_also_after_a_restart(
    ask: Ask, sign: Callable[..., str], replays: Path
) -> None:
    assertion = sign(claims(), typ="JWT")
    assert (await ask(assertion))[0] == 200
    assert (await ask(assertion))[0] == 401
    again = Replays(replays)
    assert not await again.first_use("lab", "a-1", ISSUED + 310, ISSUED)
    assert await again.first_use("lab", "a-2", ISSUED + 310, ISSUED)
    assert await again.first_use("other", "a-1", ISSUED + 310, ISSUED)


async def test_a_replay_file_that_a_crash_cut_short_still_serves(replays: Path) -> None:
    first = Replays(replays)
    assert await first.first_use("lab", "a-1", ISSUED + 310, ISSUED)
    cut_short(replays)
    second = Replays(replays)
    assert not await second.first_use("lab", "a-1", ISSUED + 310, ISSUED)
    assert await second.first_use("lab", "a-2", ISSUED + 310, ISSUED)
    third = Replays(replays)
    assert not await third.first_use("lab", "a-2", ISSUED + 310, ISSUED)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"17723")


async def test_a_token_request_needs_the_right_form(ask: Ask, sign: Callable[..., str], watch: Any) -> None:
    assertion = sign(claims(), typ="JWT")
    assert (await ask(assertion, grant_type="password"))[1]["error"] == "unsupported_grant_type"
    assert (await ask(assertion, client_assertion_type="x"))[1]["error"] == "invalid_client"
    assert (await ask(assertion, client_id="other"))[1]["error"] == "invalid_client"
    assert (await ask(data=b"{}"))[1]["error"] == "invalid_request"
    doubled = [("grant_type", "client_credentials"), ("scope", "a"), ("scope", "b")]
    assert (await ask(data=doubled))[1]["error"] == "invalid_request"
    assert (await ask("x" * 100_000))[1]["error"] == "invalid_request"
    watch.now += timedelta(seconds=1)
    assert (await ask(sign(claims(jti="a-9"), typ="JWT")))[0] == 200


BAD_CLIENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown member": ({"secret": "x"}, "clients[0].secret"),
    "id": ({"id": "a b"}, "clients[0].id"),
    "keys": ({"jwks": "https://x"}, "clients[0].jwks"),
    "user scope": ({"scopes": ["user/*.rs"]}, "clients[0].scopes[0]"),
    "empty rights": ({"scopes": ["system/Patient."]}, "clients[0].scopes[0]"),
    "purpose": ({"purposes": ["X"]}, "clients[0].purposes[0]"),
    "no purpose": ({"purposes": []}, "clients[0]"),
    "organization": ({"organization": "Patient/1"}, "clients[0].organization"),
}


@pytest.mark.parametrize(("change", "key"), BAD_CLIENTS.values(), ids=BAD_CLIENTS.keys())
def test_a_wrong_registration_is_named_by_its_place(change: dict[str, Any], key: str, keys: dict[str, Key]) -> None:
    with pytest.raises(ConfigError) as caught:
        clients.registered([registration(keys, **change)], setting="clients")
    assert caught.value.key == key


def test_clients_are_read_from_a_file(tmp_path: Path, keys: dict[str, Key]) -> None:
    path = tmp_path / "clients.json"
    path.write_text(json.dumps([registration(keys)]))
    assert clients.read(path)["lab"].subject == "Device/lab"
    path.write_text("{")
    with pytest.raises(ConfigError, match="JSON"):
        clients.read(path)
