"""The fuzzer on messages of ours: it finds nothing, and it would find something."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import hawsepipe
from hawsepipe import MessageError
from hawsepipe_conformance import mutation
from hawsepipe_hl7v2.translator import Hl7v2Translator

MESSAGES = Path(str(files(hawsepipe).joinpath("demo/messages")))


def test_damaged_messages_give_a_resource_or_an_issue_and_nothing_that_is_not_r4(capsys: Any) -> None:
    assert mutation.main([str(MESSAGES), "--each", "5"]) == 0
    assert capsys.readouterr().out.startswith("500 mutants of ")


def test_the_same_seed_gives_the_same_mutants() -> None:
    bodies = mutation.messages([MESSAGES])
    assert list(mutation.mutants(bodies, 7, 20)) == list(mutation.mutants(bodies, 7, 20))
    assert list(mutation.mutants(bodies, 7, 20)) != list(mutation.mutants(bodies, 8, 20))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (KeyError("x"), "KeyError escaped"),
        (MessageError("mapping", "", "the translator failed (KeyError)"), "the translator failed (KeyError)"),
    ],
)
def test_an_exception_that_escapes_is_a_failure(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    def fail(self: object, message: object) -> None:
        raise error

    monkeypatch.setattr(Hl7v2Translator, "read", fail)
    (body, *_) = mutation.messages([MESSAGES])
    assert reason in (mutation.fault(body) or "")


def test_a_resource_that_is_not_r4_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Hl7v2Translator.read

    def spoiled(self: Any, message: Any) -> Any:
        translation = read(self, message)
        resource = translation.changes[0].resource
        assert resource is not None
        resource["gender"] = "purple"
        return translation

    monkeypatch.setattr(Hl7v2Translator, "read", spoiled)
    (body, *_) = mutation.messages([MESSAGES])
    assert "not R4" in (mutation.fault(body) or "")
