"""Settings of the translator, as a JSON Schema whose defaults the host fills in."""

from __future__ import annotations

from typing import Any

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a fhir translator",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "version": {
            "description": "The version of a body whose media type and content name none; `guess` takes the one that"
            " knows most of its elements.",
            "enum": ["R4", "STU3", "DSTU2", "R5", "guess"],
            "default": "R4",
        },
        "source": {
            "description": "The name of the sending system, when its ids could meet those of another: each id becomes"
            " one made of this name, the type and the id.",
            "type": "string",
            "minLength": 1,
        },
        "unreadable": {
            "description": "What becomes of a message with elements that its version does not have, or of another"
            " shape: `refuse` sets it aside, `report` takes the rest and reports them.",
            "enum": ["refuse", "report"],
            "default": "refuse",
        },
    },
}
