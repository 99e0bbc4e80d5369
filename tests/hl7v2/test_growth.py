"""A message with more of anything takes more time in proportion, never by the square."""

from __future__ import annotations

import gc
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

import pytest

from hawsepipe import RawMessage
from hawsepipe_hl7v2.translator import Hl7v2Translator

_RECEIVED = datetime(2026, 3, 1, tzinfo=UTC)
PID = "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
ORDER = "OBR|1|P1|F1|1234-5^Panel^LN|||20260301100000+0000"
OBX = "OBX|1|NM|1-1^A^LN||5|mg/dL|||||F|||20260301||||||||ACME LAB^^^^^^XX^^^L1|1 MAIN ST^^TOWN"


def many(line: str) -> Callable[[int], list[str]]:
    return lambda count: [PID, ORDER, *(line.format(number=number) for number in range(count))]


def repeated(line: str, value: str) -> Callable[[int], list[str]]:
    return lambda count: [line + "~".join(value.format(number=number) for number in range(count // 2))]


CASES: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "results": ("ORU^R01", many(OBX)),
    "results with codes of their own": ("ORU^R01", many(OBX.replace("1-1", "{number}-1"))),
    "notes": ("ORU^R01", many("NTE|1||line {number}")),
    "orders": ("ORU^R01", many("OBR|1|P{number}|F{number}|1234-5^Panel^LN")),
    "orders without numbers": ("ORU^R01", many("OBR|1|||1234-5^Panel^LN")),
    "specimens": ("ORU^R01", many("SPM|1|S{number}")),
    "unknown segments": ("ORU^R01", many("ZZZ|{number}")),
    "diagnoses": ("ADT^A08", many("DG1|1||I{number}^x^I10||||A")),
    "allergies": ("ADT^A08", many("AL1|1||A{number}")),
    "relatives": ("ADT^A08", many("NK1|1|DOE^{number}|SPO")),
    "insurances": ("ADT^A08", many("IN1|1|PPO|INS{number}")),
    "patients": ("ADT^A08", many("PID|1||MRN1^^^GOOD^MR~M{number}^^^GOOD||D{number}^JANE||||||||||||||SSN{number}")),
    "the same number": ("ADT^A08", many("PID|1||MRN1^^^GOOD^MR||||||||||||||||123456789")),
    "segments before their group": ("ORU^R01", lambda count: [PID, *["SPM|1|S"] * count, *[ORDER] * count]),
    "identifiers": ("ADT^A28", repeated("PID|1||", "M{number}^^^GOOD")),
    "names": ("ADT^A28", repeated("PID|1||MRN1||", "DOE^J{number}")),
    "addresses": ("ADT^A28", repeated("PID|1||MRN1||DOE||||||", "{number} MAIN ST^^TOWN")),
    "merged identifiers": ("ADT^A40", lambda count: [PID, *repeated("MRG|", "M{number}^^^GOOD")(count)]),
}


@pytest.mark.parametrize("name", CASES)
def test_time_grows_in_proportion(name: str) -> None:
    kind, lines = CASES[name]
    translator = Hl7v2Translator({})

    def cost(count: int) -> float:
        head = f"MSH|^~\\&|A|B|C|D|20260301101500+0000||{kind}|M1|P|2.5.1"
        body = "\r".join([head, "EVN|A08", *lines(count)]).encode()
        raw = RawMessage("adt", _RECEIVED, "application/hl7-v2", body)
        best = float("inf")
        for _ in range(2):
            begun = process_time()
            translator.translate(raw)
            best = min(best, process_time() - begun)
        return best

    # The collector's turns come by the number of objects, not by what was done.
    gc.disable()
    try:
        small, large = cost(500), cost(2_000)
    finally:
        gc.enable()
    assert large < 8 * small + 0.05
    assert large < 1.0


@pytest.mark.parametrize("name", CASES)
def test_a_translation_leaves_nothing_to_the_collector(name: str) -> None:
    # What refers to each other is freed only when the collector comes, and that took a third of the time.
    kind, lines = CASES[name]
    translator = Hl7v2Translator({})
    head = f"MSH|^~\\&|A|B|C|D|20260301101500+0000||{kind}|M1|P|2.5.1"
    raw = RawMessage("adt", _RECEIVED, "application/hl7-v2", "\r".join([head, "EVN|A08", *lines(20)]).encode())
    translator.translate(raw)
    gc.collect()
    gc.disable()
    try:
        translator.translate(raw)
        assert gc.collect() == 0
    finally:
        gc.enable()
