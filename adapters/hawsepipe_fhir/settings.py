"""Settings of the feeds and the translator, as JSON Schemas whose defaults the host fills in."""

from __future__ import annotations

from collections.abc import Mapping
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
        "identity": {
            "description": "Under which id a resource is kept: `source` as its source has it; `shared` as whatever"
            " another source tells of the same person or event, by business identifier, else by whom, what and when.",
            "enum": ["source", "shared"],
            "default": "source",
        },
        "unreadable": {
            "description": "What becomes of a message with elements that its version does not have, or of another"
            " shape: `refuse` sets it aside, `report` takes the rest and reports them.",
            "enum": ["refuse", "report"],
            "default": "refuse",
        },
        "consents": {
            "description": "What becomes of a Consent: `narrow` lets it close and never open anything until the patient"
            " or a privacy officer takes it over, `trust` takes it as it is, `refuse` sets the message aside.",
            "enum": ["narrow", "trust", "refuse"],
            "default": "narrow",
        },
        "modifiers": {
            "description": "URLs of the modifier extensions and implicit rules that those who read the record"
            " understand; a message with any other is set aside.",
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": [],
        },
    },
}

HTTP_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a fhir-http feed",
    "listens": True,
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "host": {"description": "The address to listen on.", "type": "string", "minLength": 1, "default": "127.0.0.1"},
        "port": {
            "description": "The port to listen on; 0 takes any free one.",
            "type": "integer",
            "minimum": 0,
            "maximum": 65535,
            "default": 2581,
        },
        "version": {
            "description": "The one version of FHIR that this feed takes; without it each body's media type says it, or"
            " the body itself.",
            "enum": ["R4", "STU3", "DSTU2", "R5"],
        },
        "tokens": {
            "description": "A JSON file: a sender's name to the SHA-256 (hex) of its bearer token; a relative path is"
            " relative to the configuration file.",
            "type": "string",
            "minLength": 1,
        },
        "unauthenticated": {
            "description": "Take messages without a token: only behind something that knows the senders.",
            "type": "boolean",
            "default": False,
        },
        "limits": {
            "description": "Bounds that keep one sender from hurting the others.",
            "type": "object",
            "additionalProperties": False,
            "default": {"body_bytes": 67108864, "waiting": 256, "outcome_seconds": 10, "stop_seconds": 10},
            "properties": {
                "body_bytes": {
                    "description": "The largest body, unpacked.",
                    "type": "integer",
                    "minimum": 1024,
                    "default": 67108864,
                },
                "waiting": {
                    "description": "Messages at a time; further ones are answered with 503.",
                    "type": "integer",
                    "minimum": 1,
                    "default": 256,
                },
                "outcome_seconds": {
                    "description": "How long an answer waits for the effect, before it is 202.",
                    "type": "number",
                    "minimum": 0,
                    "default": 10,
                },
                "stop_seconds": {
                    "description": "How long a stop waits for answers that are on their way.",
                    "type": "number",
                    "minimum": 0,
                    "default": 10,
                },
            },
        },
    },
}


_SECRET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "file": {"description": "A file that holds it, read anew for each use.", "type": "string", "minLength": 1},
        "environment": {"description": "The environment variable that holds it.", "type": "string", "minLength": 1},
    },
}

POLL_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a fhir-poll feed",
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "not": {"required": ["token", "client"]},
    "properties": {
        "url": {
            "description": "The base address of the server; nothing is followed away from its host.",
            "type": "string",
            "pattern": "^https?://[^/?#@]+(/[^?#]*)?$",
        },
        "mode": {
            "description": "`history` sees every version and every delete; `search` the newest versions alone, for"
            " servers that have no history of a type or of all.",
            "enum": ["history", "search"],
            "default": "history",
        },
        "types": {
            "description": "The resource types to ask for; a history without any asks for all.",
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Z][A-Za-z]+$"},
            "uniqueItems": True,
            "default": [],
        },
        "version": {
            "description": "The version of FHIR that the server speaks; without it the server says it.",
            "enum": ["R4", "STU3", "DSTU2", "R5"],
        },
        "since": {"description": "Where to begin (an instant); without it at the beginning.", "type": "string"},
        "interval_seconds": {
            "description": "Time between two rounds.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 30,
        },
        "overlap_seconds": {
            "description": "How far a round goes back behind the last one, for what a server shows late.",
            "type": "number",
            "minimum": 0,
            "default": 60,
        },
        "page_size": {
            "description": "Entries of a page (`_count`).",
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
            "default": 200,
        },
        "page_bytes": {
            "description": "The largest page.",
            "type": "integer",
            "minimum": 1024,
            "default": 67108864,
        },
        "window": {
            "description": "Messages that may wait for the journal.",
            "type": "integer",
            "minimum": 1,
            "default": 64,
        },
        "timeout_seconds": {
            "description": "Time for one answer.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 60,
        },
        "ca": {
            "description": "The server's authority (PEM; relative to the configuration file); without it those of the"
            " machine.",
            "type": "string",
            "minLength": 1,
        },
        "token": {"description": "A bearer token.", **_SECRET},
        "client": {
            "description": "Client credentials (OAuth 2.0) that a token is asked for with.",
            "type": "object",
            "additionalProperties": False,
            "required": ["token_url", "id", "secret"],
            "properties": {
                "token_url": {"description": "Where tokens are given.", "type": "string", "pattern": "^https?://"},
                "id": {"description": "The client's id.", "type": "string", "minLength": 1},
                "secret": {"description": "The client's secret.", **_SECRET},
                "scope": {"description": "The scopes to ask for.", "type": "string", "minLength": 1},
            },
        },
        "retry": {
            "description": "Waits after a failure; a `Retry-After` of the server makes them longer.",
            "type": "object",
            "additionalProperties": False,
            "default": {"first_seconds": 1, "most_seconds": 300},
            "properties": {
                "first_seconds": {
                    "description": "The first wait; each further one is twice as long, half of it by chance.",
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "default": 1,
                },
                "most_seconds": {
                    "description": "The longest wait.",
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "default": 300,
                },
            },
        },
    },
}


def filled(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the defaults of the schema filled in, at every level."""
    result = dict(settings)
    for name, part in schema.get("properties", {}).items():
        if name not in result and "default" in part:
            result[name] = part["default"]
        if part.get("type") == "object" and isinstance(result.get(name), Mapping):
            result[name] = filled(part, result[name])
    return result
