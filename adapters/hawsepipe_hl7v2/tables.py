"""The mapping tables as one value: segments, data types, codes, messages (`schemas/hawsepipe_schemas/hl7v2/`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from hawsepipe_schemas import load, names

FOLDER = "hl7v2/"
Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tables:
    """Tables by name (`PID`, `CX`, `PatientClass`, `ADT`), each as `mapping-table.schema.json` has it.

    `coding_systems` maps names of HL7 table 0396 to URIs.
    """

    segments: Mapping[str, Table]
    datatypes: Mapping[str, Table]
    codes: Mapping[str, Table]
    messages: Mapping[str, Table]
    coding_systems: Mapping[str, str]

    def canonical(self) -> bytes:
        """Return the same bytes for the same tables."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def documents() -> dict[str, Any]:
    """Return every shipped document by its name below `hl7v2/` (`segments/PID.json`)."""
    return {name.removeprefix(FOLDER): load(name) for name in names() if name.startswith(FOLDER)}


@cache
def shipped() -> Tables:
    """Return the shipped tables. Nobody changes what they hold."""
    found: dict[str, dict[str, Table]] = {"segments": {}, "datatypes": {}, "codes": {}, "messages": {}}
    for name, document in documents().items():
        folder, _, file = name.rpartition("/")
        if folder:
            found[folder][file.removesuffix(".json")] = document
    return Tables(**found, coding_systems=load(f"{FOLDER}coding_systems.json")["coding_systems"])


def unnamed(message: Table) -> str:
    """Return the event of messages of a type that name none, as results and orders of 2.1 and 2.2 do; empty when it
    could be several."""
    triggers = message.get("triggers", {})
    return str(message.get("trigger") or (next(iter(triggers)) if len(triggers) == 1 else ""))
