"""`hawsepipe demo --once` exits 0, and not when any of its steps is made to fail."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.demo import steps, tour
from hawsepipe.demo.guide import DOCTOR, Answer, Guide


async def _tour(folder: Path, messages: Path = tour.MESSAGES) -> tuple[int, str]:
    said: list[str] = []
    settings = tour.Settings(folder=folder / "data", port=0, mllp_port=0, messages=messages, once=True)
    status = await tour.run(settings, asyncio.Event(), said.append)
    return status, "\n".join(said)


def _changed(folder: Path, before: str, after: str) -> Path:
    """Return the demo's messages with a text changed wherever it stands."""
    target = folder / "messages"
    target.mkdir()
    texts = {file.name: file.read_text(encoding="utf-8") for file in tour.MESSAGES.glob("*.hl7")}
    assert any(before in text for text in texts.values())
    for name, text in texts.items():
        (target / name).write_text(text.replace(before, after), encoding="utf-8")
    return target


async def test_the_command_exits_0_and_shows_each_step(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hawsepipe", "demo", "--once", "--port", "0", "--mllp-port", "0",
        "--data", str(tmp_path / "data"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    text = output.decode("utf-8")
    assert process.returncode == 0, text
    for sign in ("MSA|AA|HA-000101", "404", "version 2", "OBX-5", "PROVEN", "CONTENT_MISMATCH", "$ curl"):
        assert sign in text
    assert text.count("\n\n") >= len(steps.STEPS)


async def test_a_temporary_directory_is_gone_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "messages").mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hawsepipe", "demo", "--once", "--port", "0", "--mllp-port", "0",
        "--messages", str(tmp_path / "messages"), env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert f"running in {tmp_path}/hawsepipe-demo-" in output.decode("utf-8")
    assert os.listdir(tmp_path) == ["messages"]


BROKEN_MESSAGES = {
    "send_messages": ("ADT^A01^ADT_A01", "ADT^Q99^ADT_Q99"),
    "list_resources": ("OBX|4|NM|2160-0^Creatinine^LN||1.00|", "NTE|2|L|"),
    "history": ("Nya Allén 3^^Göteborg^^41138", "Sjögatan 12^^Göteborg^^41115"),
    "merge": ("MRG|4799^^^HARBOUR^MR", "ZRG|4799^^^HARBOUR^MR"),
}


@pytest.mark.parametrize("step", BROKEN_MESSAGES)
async def test_messages_that_do_not_do_what_they_should_fail_the_tour(step: str, tmp_path: Path) -> None:
    status, text = await _tour(tmp_path, _changed(tmp_path, *BROKEN_MESSAGES[step]))
    assert status == 1, text
    assert "FAILED" in text


def _open_default(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = tour._configured

    def permissive(settings: tour.Settings) -> Any:
        return dataclasses.replace(
            configured(settings), default_policy="https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"
        )

    monkeypatch.setattr(tour, "_configured", permissive)


def _refused_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_consent", lambda _patient, _excluded: {"resourceType": "Consent"})


def _wrong_person_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    consent = steps._consent
    monkeypatch.setattr(steps, "_consent", lambda patient, _excluded: consent(patient, DOCTOR))


def _nobody_excluded(monkeypatch: pytest.MonkeyPatch) -> None:
    consent = steps._consent
    monkeypatch.setattr(steps, "_consent", lambda patient, _excluded: consent(patient, "Practitioner/nobody"))


def _telling_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    get = Guide.get

    async def telling(guide: Guide, path: str, subject: str = DOCTOR) -> Answer:
        answer = await get(guide, path, subject)
        if answer.status == 404 and guide.patient in path and subject != DOCTOR:
            return dataclasses.replace(answer, body=answer.body + b" ")
        return answer

    monkeypatch.setattr(Guide, "get", telling)


def _trail_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "_trail", lambda _resource, _target: [])


def _foreign_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = steps._receipt

    async def swapped(guide: Guide) -> Answer:
        path = guide.running.config.data / "trust.json"
        path.write_text(path.read_text(encoding="utf-8").replace("+", "-", 1), encoding="utf-8")
        return await receipt(guide)

    monkeypatch.setattr(steps, "_receipt", swapped)


def _nothing_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    def untouched(_database: sqlite3.Connection, _identity: str, _content: bytes) -> None:
        return None

    monkeypatch.setattr(steps, "_overwrite", untouched)


SABOTAGE = {
    "2. ": _open_default,
    "3. ": _refused_consent,
    "4. Dr Okafor": _wrong_person_excluded,
    "4. ": _nobody_excluded,
    "4. Dr Okafor reads": _telling_refusal,
    "7. ": _trail_lost,
    "8. ": _foreign_trust,
    "9. ": _nothing_overwritten,
}


@pytest.mark.parametrize("step", SABOTAGE)
async def test_a_step_that_is_made_to_fail_fails_the_tour(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SABOTAGE[step](monkeypatch)
    status, text = await _tour(tmp_path)
    assert status == 1, text
    assert step in text.split("FAILED")[0].strip().split("\n\n")[-1], "it is that step that failed"
