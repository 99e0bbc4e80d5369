"""Settings of the feed and the translator, as JSON Schemas whose defaults the host fills in."""

from __future__ import annotations

from typing import Any

_TEMPLATES: dict[str, Any] = {
    "description": "The file of device templates (TOML; relative to the configuration file).",
    "type": "string",
    "minLength": 1,
}
_DEVICES: dict[str, Any] = {
    "description": "The file of devices (TOML): who wears which one, and their keys.",
    "type": "string",
    "minLength": 1,
}

TRANSLATOR_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a devices translator",
    "type": "object",
    "additionalProperties": False,
    "required": ["templates"],
    "properties": {"templates": _TEMPLATES, "devices": _DEVICES},
}

_SECRET: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {
        "file": {"description": "A file that holds it.", "type": "string", "minLength": 1},
        "environment": {"description": "The environment variable that holds it.", "type": "string", "minLength": 1},
    },
}

FEED_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an mqtt feed",
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "templates"],
    "dependentRequired": {"password": ["user"]},
    "properties": {
        "host": {"description": "The broker.", "type": "string", "minLength": 1},
        "port": {"description": "Its port.", "type": "integer", "minimum": 1, "maximum": 65535, "default": 1883},
        "templates": _TEMPLATES,
        "devices": _DEVICES,
        "version": {"description": "The version of MQTT.", "enum": ["5", "3.1.1"], "default": "5"},
        "client_id": {
            "description": "The name of the session at the broker, which no other client may use; without it"
            " `hawsepipe-` and the feed's name.",
            "type": "string",
            "minLength": 1,
            "maxLength": 64,
        },
        "topics": {
            "description": "What to subscribe to; without it the topics of the templates.",
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "minLength": 1},
        },
        "session_seconds": {
            "description": "How long the broker keeps what comes while we are away (MQTT 5).",
            "type": "integer",
            "minimum": 0,
            "maximum": 4294967295,
            "default": 604800,
        },
        "user": {"description": "The user at the broker.", "type": "string", "minLength": 1},
        "password": {"description": "The user's password.", **_SECRET},
        "tls": {
            "description": "Speak TLS with the broker; without it the connection is plain.",
            "type": "object",
            "additionalProperties": False,
            "required": ["ca"],
            "dependentRequired": {"certificate": ["key"], "key": ["certificate"]},
            "properties": {
                "ca": {
                    "description": "The broker's authority (PEM), or `system` for those of the machine.",
                    "type": "string",
                    "minLength": 1,
                },
                "certificate": {"description": "Our own certificate (PEM).", "type": "string", "minLength": 1},
                "key": {"description": "Its private key.", "type": "string", "minLength": 1},
            },
        },
        "keepalive_seconds": {
            "description": "After how long a silence the connection is tried.",
            "type": "integer",
            "minimum": 5,
            "maximum": 65535,
            "default": 60,
        },
        "payload_bytes": {
            "description": "The largest payload; a larger one is set aside.",
            "type": "integer",
            "minimum": 1,
            "default": 262144,
        },
        "window": {
            "description": "Messages that may wait for the journal; the broker holds the others back.",
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 1000,
        },
        "remember_seconds": {
            "description": "For how long after it was closed a window takes readings that come late; older ones are set"
            " aside.",
            "type": "number",
            "minimum": 1,
            "default": 3600,
        },
        "ahead_seconds": {
            "description": "How far a device's clock may be ahead of ours; a reading from further on is set aside.",
            "type": "number",
            "minimum": 0,
            "default": 300,
        },
    },
}
