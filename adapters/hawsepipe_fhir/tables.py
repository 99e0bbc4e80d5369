"""The rule tables as values (`schemas/hawsepipe_schemas/fhir_versions/`), one a type and version."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hawsepipe_schemas import load, names

Row = Mapping[str, Any]
FOLDER = "fhir_versions/"


@dataclass(frozen=True, slots=True)
class Table:
    """The rules of one type: where it goes, the rows by the element that they are about, defaults for what R4 needs.

    An element that no row mentions keeps its name where R4 has it with a fitting type, and becomes an extension where
    R4 does not.
    """

    type: str
    to: str
    rows: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    defaults: tuple[Mapping[str, Any], ...] = ()

    def below(self, path: str) -> bool:
        """Say whether a row is about something inside an element."""
        return any(key.startswith(f"{path}.") for key in self.rows)


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of one version, and the code tables that they share."""

    version: str
    types: Mapping[str, Table]
    codes: Mapping[str, Mapping[str, str]]

    def table(self, type: str) -> Table:
        """Return the table of a type; without one every element keeps its name."""
        return self.types.get(type) or Table(type, type)


def documents() -> dict[str, Any]:
    """Return every shipped table by its name below `fhir_versions/` (`stu3/Encounter.json`)."""
    found = {name.removeprefix(FOLDER): load(name) for name in names() if name.startswith(FOLDER)}
    return {name: held for name, held in found.items() if not name.endswith("/elements.json")}


@cache
def shipped(version: str) -> Tables:
    """Return the tables of `dstu2`, `stu3` or `r5`."""
    types: dict[str, Table] = {}
    codes: Mapping[str, Mapping[str, str]] = {}
    for name, document in documents().items():
        folder, _, file = name.partition("/")
        if name == "codes.json":
            codes = document["codes"]
        elif folder == version:
            table = _table(document)
            types[file.removesuffix(".json")] = table
    return Tables(version, types, codes)


def canonical() -> bytes:
    """Return the same bytes for the same tables."""
    return json.dumps(documents(), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _table(document: Mapping[str, Any]) -> Table:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in document.get("rows", ()):
        rows.setdefault(row["from"], []).append(row)
    return Table(
        document["type"],
        document.get("to", document["type"]),
        {key: tuple(held) for key, held in rows.items()},
        tuple(document.get("defaults", ())),
    )
