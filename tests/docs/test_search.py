"""docs/search.md: each row names a test that there is; every type, modifier and prefix of the code has its place."""

from __future__ import annotations

import re
from pathlib import Path

from hawsepipe.fhir.conditions import MODIFIERS
from hawsepipe.fhir.query import Kind, Prefix

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "search.md").read_text(encoding="utf-8")
ROW = re.compile(r"\| (?P<name>.+?) \| (?P<how>.+?) \| `(?P<file>tests/[^:`]+)::(?P<test>\w+)` \|")


def rows() -> list[re.Match[str]]:
    lines = [line for line in TEXT.splitlines() if line.startswith("| ") and not line.startswith("| what ")]
    found = [ROW.fullmatch(line) for line in lines]
    assert None not in found, [line for line, match in zip(lines, found, strict=True) if match is None]
    return [match for match in found if match is not None]


def test_each_row_of_search_names_a_test_that_there_is() -> None:
    missing = [
        f"{row['file']}::{row['test']}"
        for row in rows()
        if f"def {row['test']}(" not in (ROOT / row["file"]).read_text(encoding="utf-8")
    ]
    assert missing == []


def test_every_type_modifier_and_prefix_has_a_row() -> None:
    names = " ".join(row["name"] for row in rows())
    assert [kind for kind in Kind if not re.search(rf"\b{kind}\b", names)] == []
    assert [prefix for prefix in Prefix if f"`{prefix}`" not in names] == []
    for kind, modifiers in MODIFIERS.items():
        own = " ".join(row["name"] for row in rows() if row["name"].startswith(str(kind))) + " `:missing`"
        assert [it for it in modifiers if f"`:{it}`" not in own] == [], kind
