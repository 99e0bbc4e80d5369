"""docs/fhir-surface.md: each row names a test that there is, and every interaction that is routed has a row."""

from __future__ import annotations

import re
from pathlib import Path

from hawsepipe.api.routes import TABLE

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"\| (?P<name>[^|]+) \| [^|]+ \| `(?P<file>tests/[^:`]+)::(?P<test>\w+)` \|")
TEXT = (ROOT / "docs" / "fhir-surface.md").read_text(encoding="utf-8")


def rows() -> list[re.Match[str]]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| interaction")]
    found = [ROW.fullmatch(line) for line in lines]
    assert None not in found, [line for line, match in zip(lines, found, strict=True) if match is None]
    return [match for match in found if match is not None]


def test_each_row_names_a_test_that_there_is() -> None:
    missing = [
        f"{row['file']}::{row['test']}"
        for row in rows()
        if f"def {row['test']}(" not in (ROOT / row["file"]).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_interaction_that_is_routed_has_a_row() -> None:
    told = {name.strip("` ") for row in rows() for name in row["name"].split(",")}
    public = {"smart-configuration"}
    routed = {code for row in TABLE for code in (row.code, *row.also)} - public
    assert routed - told == set()
