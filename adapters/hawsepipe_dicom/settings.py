"""Settings of the feed and the translator, as JSON Schemas whose defaults the host fills in."""

from __future__ import annotations

from typing import Any

FEED_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a dicom-changes feed",
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "dependentRequired": {"user": ["password"], "password": ["user"]},
    "properties": {
        "url": {
            "description": "The REST interface of an Orthanc archive.",
            "type": "string",
            "pattern": "^https?://[^/?#@]+(/[^?#]*)?$",
        },
        "user": {"description": "The user there.", "type": "string", "minLength": 1},
        "password": {
            "description": "The user's password.",
            "type": "object",
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {
                "file": {"description": "A file that holds it.", "type": "string", "minLength": 1},
                "environment": {
                    "description": "The environment variable that holds it.",
                    "type": "string",
                    "minLength": 1,
                },
            },
        },
        "ca": {
            "description": "The archive's authority (PEM); without it those of the machine.",
            "type": "string",
            "minLength": 1,
        },
        "interval_seconds": {
            "description": "Time between two looks at the changes.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 5,
        },
        "settle_seconds": {
            "description": "After how long without an instance more a study is taken that the archive never called"
            " stable (it forgets about that when it is restarted).",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 300,
        },
        "digest": {
            "description": "What the manifest has of each instance: `sha256` reads every file once (and keeps nothing"
            " of it), `md5` takes the archive's own word.",
            "enum": ["sha256", "md5"],
            "default": "sha256",
        },
        "page_size": {
            "description": "Changes that are asked for at once.",
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
            "default": 500,
        },
        "timeout_seconds": {
            "description": "Time for one answer.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 60,
        },
    },
}

TRANSLATOR_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of a dicom translator",
    "type": "object",
    "additionalProperties": False,
    "required": ["endpoint"],
    "properties": {
        "endpoint": {
            "description": "Where viewers get the images (the DICOMweb address).",
            "type": "string",
            "format": "uri",
            "minLength": 1,
        },
        "issuers": {
            "description": "The system of patient identifiers by their issuer (0010,0021); without an entry"
            " `urn:hawsepipe:authority:<issuer>`, as for messages of HL7 v2.",
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "default": {},
        },
        "patient_system": {
            "description": "The system of patient identifiers without an issuer; without it such studies are set"
            " aside.",
            "type": "string",
            "minLength": 1,
        },
        "accession_system": {
            "description": "The system of accession numbers, as orders have it.",
            "type": "string",
            "minLength": 1,
        },
        "timezone": {
            "description": "The zone of times without an offset.",
            "type": "string",
            "minLength": 1,
            "default": "UTC",
        },
    },
}
