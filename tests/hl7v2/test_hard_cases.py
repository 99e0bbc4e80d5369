"""The list of hard cases in the adapter's DESIGN.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DESIGN = HERE.parents[1] / "adapters" / "hawsepipe_hl7v2" / "DESIGN.md"


def test_every_hard_case_has_tests_of_the_names_that_the_design_gives() -> None:
    rows = re.findall(r"^\| (\d+)\. .*$", DESIGN.read_text(), re.MULTILINE)
    assert [int(number) for number in rows] == list(range(1, 17))
    named = re.findall(r"`(test_\w+)::(test_\w+)`", DESIGN.read_text())
    missing = [
        f"{module}::{name}"
        for module, name in named
        if f"def {name}(" not in (HERE / f"{module}.py").read_text(encoding="utf-8")
    ]
    assert missing == []


def test_an_update_without_allergies_leaves_those_that_are_known(translate: Any) -> None:
    """An update tells what changed: a segment that is not sent says nothing."""
    head, person = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301||{}|M1|P|2.5", "PID|1||MRN1^^^GOOD^MR||DOE^JANE"
    known = translate((head.format("ADT^A01"), "EVN|A01", person, "PV1|1|I", "AL1|1|DA|PEN^Penicillin^L"))
    later = translate((head.format("ADT^A08"), "EVN|A08", person, "PV1|1|I"))
    assert len(known.all("AllergyIntolerance")) == 1
    assert not later.all("AllergyIntolerance")
    again = translate((head.format("ADT^A08"), "EVN|A08", person, "PV1|1|I", "AL1|1|DA|PEN^Penicillin^L"))
    assert [one["id"] for one in again.all("AllergyIntolerance")] == [
        one["id"] for one in known.all("AllergyIntolerance")
    ]
