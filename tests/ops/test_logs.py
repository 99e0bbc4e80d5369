"""No patient data in any log line: keys are allowed by name, exceptions are class and place."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from hawsepipe.ops import logs

CANARY = "Lindqvist-19760314"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    out = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    logs.configure("debug", "json", out)
    yield out
    root.handlers[:], level = before[0], before[1]
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_keeps_allowed_keys_only(stream: io.StringIO) -> None:
    structlog.get_logger("x").info("dead letter", feed="adt", sequence=3, family=CANARY)
    line = json.loads(stream.getvalue())
    assert line["feed"] == "adt"
    assert line["sequence"] == 3
    assert CANARY not in stream.getvalue()


def test_an_exception_is_logged_by_class_and_place_without_its_text(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        structlog.get_logger("x").exception("the translator failed", feed="adt")
    line = json.loads(stream.getvalue())
    assert line["error"] == "ValueError"
    assert line["trace"][-1].startswith("test_logs.py:")
    assert CANARY not in stream.getvalue()


def test_another_librarys_record_loses_its_arguments_and_exception_text(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", CANARY)
    line = json.loads(stream.getvalue())
    assert line["logger"] == "aiohttp.server"
    assert line["error"] == "ValueError"
    assert CANARY not in stream.getvalue()


def test_the_level_holds(stream: io.StringIO) -> None:
    logs.configure("error", "json", stream)
    structlog.get_logger("x").info("nothing", feed="adt")
    assert stream.getvalue() == ""


def test_a_long_value_is_cut(stream: io.StringIO) -> None:
    structlog.get_logger("x").info("e" * 500)
    assert len(json.loads(stream.getvalue())["event"]) == 200
