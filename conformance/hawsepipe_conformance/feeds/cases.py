"""The case file: what a case may say, and a refusal of everything that this runner does not understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CASE = {"id", "category", "title", "input", "expected", "basis", "severity", "wire", "anchors_measured"}
_STEP = {"send", "send_hex", "chunk", "delay_ms", "idle_s", "close"}
_CLOSES = {"fin", "rst"}


class Unclear(Exception):
    """A case, or a part of one, that this runner does not understand; the text says which."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the wire: bytes (in writes of `chunk` bytes, `pause` seconds apart), a wait, or a close."""

    data: bytes = b""
    chunk: int = 0
    pause: float = 0.0
    close: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `expected` are the machine-readable expectations without `text`, which is the prose."""

    id: str
    category: str
    title: str
    input: str
    severity: str
    text: str
    expected: Mapping[str, Any]
    wire: tuple[Step, ...]
    unclear: str = ""


@dataclass(frozen=True, slots=True)
class CaseFile:
    """All cases and the messages that they start from (`{id}` is the control id)."""

    cases: tuple[Case, ...]
    messages: Mapping[str, str]


def read(path: Path) -> CaseFile:
    """Read a case file. Raises Unclear when it is none; a single unclear case says so when it is run."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        entries, messages = document["cases"], document.get("base_messages", {})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unclear(f"{path} is no case file ({type(error).__name__})") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Unclear(f"{path} is no case file (cases must be a list of objects)")
    return CaseFile(tuple(_case(entry, number) for number, entry in enumerate(entries, 1)), messages)


def normal(text: str) -> str:
    """Return prose with its white space made one."""
    return " ".join(text.split())


def _case(entry: Mapping[str, Any], number: int) -> Case:
    unclear = ""
    expected = entry.get("expected")
    if not isinstance(expected, dict):
        expected, unclear = {}, "the case has no expectations"
    if unknown := sorted(set(entry) - _CASE):
        unclear = f"the case has parts that this runner does not know: {', '.join(unknown)}"
    wire: tuple[Step, ...] = ()
    try:
        wire = tuple(_step(step) for step in entry.get("wire", []))
    except Unclear as error:
        unclear = str(error)
    return Case(
        id=str(entry.get("id", f"#{number}")),
        category=str(entry.get("category", "")),
        title=str(entry.get("title", "")),
        input=str(entry.get("input", "")),
        severity=str(entry.get("severity", "must")),
        text=normal(str(expected.get("text", ""))),
        expected={key: value for key, value in expected.items() if key != "text"},
        wire=wire,
        unclear=unclear,
    )


def _step(step: Any) -> Step:
    if not isinstance(step, dict) or not step:
        raise Unclear("a wire step is empty")
    if unknown := sorted(set(step) - _STEP):
        raise Unclear(f"a wire step has parts that this runner does not know: {', '.join(unknown)}")
    if step.get("close", "fin") not in _CLOSES:
        raise Unclear(f"a wire step closes in an unknown way: {step['close']}")
    try:
        data = step["send"].encode("latin-1") if "send" in step else bytes.fromhex(step.get("send_hex", ""))
        pause = float(step.get("delay_ms", 0)) / 1000 + float(step.get("idle_s", 0))
        return Step(data, int(step.get("chunk", 0)), pause, step.get("close", ""))
    except (ValueError, AttributeError, TypeError) as error:
        raise Unclear("a wire step cannot be read") from error
