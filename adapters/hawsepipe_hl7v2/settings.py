"""Settings of the kinds, as JSON Schemas whose defaults the host fills in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hawsepipe_hl7v2.charsets import FALLBACKS
from hawsepipe_hl7v2.tables import shipped

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2")
MESSAGES = tuple(
    f"{type_}^{trigger}"
    for type_, table in sorted(shipped().messages.items())
    if table.get("door", True)
    for trigger in sorted(table["triggers"])
    if table["triggers"][trigger].get("door", True)
)
"""The events that have a map: what a feed takes when the settings do not say otherwise."""
_SENDER = r"^[^|]*\|[^|]*$"
_EVENT = r"^[A-Z0-9]{3}\^([A-Z0-9]{3}|\*)$"
_CHARSET = {
    "description": "The character set of messages whose MSH-18 is empty. The standard says ASCII.",
    "enum": sorted(FALLBACKS),
    "default": "ascii",
}
_ACCEPT_DEFAULT = {"messages": list(MESSAGES), "versions": list(VERSIONS), "processing_ids": ["P"], "values": "strict"}
_LIMITS_DEFAULT = {
    "frame_bytes": 16777216,
    "idle_seconds": 30,
    "frame_seconds": 300,
    "quiet_seconds": 3600,
    "fragments": 100,
    "connections": 1000,
    "window": 64,
    "window_bytes": 33554432,
    "feed_bytes": 67108864,
    "stop_seconds": 10,
}


def _whole(name: str, minimum: int, description: str) -> dict[str, Any]:
    return {"description": description, "type": "integer", "minimum": minimum, "default": _LIMITS_DEFAULT[name]}


def _time(name: str, description: str) -> dict[str, Any]:
    return {"description": description, "type": "number", "exclusiveMinimum": 0, "default": _LIMITS_DEFAULT[name]}


_ACCEPT: dict[str, Any] = {
    "description": "What the feed takes; anything else is answered with AR and set aside.",
    "type": "object",
    "additionalProperties": False,
    "default": _ACCEPT_DEFAULT,
    "properties": {
        "messages": {
            "description": "MSH-9 as TYPE^EVENT, or TYPE^* for every event. By default those that have a map.",
            "type": "array",
            "items": {"type": "string", "pattern": _EVENT},
            "default": _ACCEPT_DEFAULT["messages"],
        },
        "versions": {
            "description": "MSH-12.",
            "type": "array",
            "items": {"enum": list(VERSIONS)},
            "default": _ACCEPT_DEFAULT["versions"],
        },
        "processing_ids": {
            "description": "MSH-11: P production, D debugging, T training.",
            "type": "array",
            "items": {"enum": ["P", "D", "T"]},
            "default": _ACCEPT_DEFAULT["processing_ids"],
        },
        "senders": {
            "description": "MSH-3 and MSH-4 (first components) as `ADT1|GOOD`, either of them `*`. Every sender when"
            " the key is absent.",
            "type": "array",
            "items": {"type": "string", "pattern": _SENDER},
        },
        "values": {
            "description": "`strict` answers a message with a value that is not of the type that it is said to be (a"
            " number in OBX-5) with AE; `lenient` takes it, and the value is kept as text.",
            "enum": ["strict", "lenient"],
            "default": "strict",
        },
    },
}


def _file(description: str) -> dict[str, Any]:
    return {"description": f"{description} (PEM; relative to the configuration).", "type": "string", "minLength": 1}


_TLS_COMMON: dict[str, Any] = {
    "certificate": _file("The own certificate, and those between it and its authority"),
    "key": _file("Its key, not encrypted"),
}
_TLS_LAST: dict[str, Any] = {
    "minimum": {"description": "The oldest version of TLS that will do.", "enum": ["1.2", "1.3"], "default": "1.2"},
    "handshake_seconds": {
        "description": "Time for a handshake.",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 10,
    },
    "reload_seconds": {
        "description": "How often the files are looked at; new ones are used for new connections.",
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 5,
    },
}
_REVOKED = _file("A list of revoked client certificates of that authority")
_TLS: dict[str, Any] = {
    "description": "TLS; without it the feed listens in the clear.",
    "type": "object",
    "additionalProperties": False,
    "required": ["certificate", "key"],
    "dependentRequired": {"clients": ["client_ca"], "revoked": ["client_ca"]},
    "properties": {
        **_TLS_COMMON,
        "client_ca": _file("The authority of clients; each must show a certificate of it then"),
        "revoked": _REVOKED,
        "clients": {
            "description": "The certificates that are bound to this feed; by default every one of `client_ca`.",
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "oneOf": [{"required": ["fingerprint"]}, {"required": ["name"]}],
                "properties": {
                    "fingerprint": {"type": "string", "pattern": "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"},
                    "name": {"type": "string", "minLength": 1},
                    "senders": {"type": "array", "items": {"type": "string", "pattern": _SENDER}},
                },
            },
        },
        **_TLS_LAST,
    },
}

FEED_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an mllp feed",
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
            "default": 2575,
        },
        "charset": _CHARSET,
        "accept": _ACCEPT,
        "tls": _TLS,
        "duplicates": {
            "description": "A control id (with MSH-3 and MSH-4) that comes again with other content: `answer` takes the"
            " message and counts it, `strict` refuses it with AE and code 205. The same bytes are always answered with"
            " the stored acknowledgement.",
            "enum": ["answer", "strict"],
            "default": "answer",
        },
        "sequence_numbers": {
            "description": "Keep to the sequence number protocol (MSH-13, MSA-4) with senders that number.",
            "type": "boolean",
            "default": False,
        },
        "late_acknowledgements": {
            "description": "Send the application acknowledgement of a message that could not be applied once more, as"
            " AA, when an operator has had it applied after all and its connection still stands.",
            "type": "boolean",
            "default": True,
        },
        "release": {
            "description": "The release of MLLP: 2 sends a commit (06) or failure (15) block before acknowledging.",
            "enum": [1, 2],
            "default": 1,
        },
        "limits": {
            "description": "Bounds that keep one sender from hurting the others.",
            "type": "object",
            "additionalProperties": False,
            "default": _LIMITS_DEFAULT,
            "properties": {
                "frame_bytes": _whole("frame_bytes", 1024, "The largest frame."),
                "idle_seconds": _time(
                    "idle_seconds", "Silence inside a frame after which it is cut off and the connection closed."
                ),
                "frame_seconds": _time(
                    "frame_seconds", "Time for a whole frame, however it comes; then it is cut off as above."
                ),
                "quiet_seconds": _time(
                    "quiet_seconds", "Time without a message after which a connection is closed; nothing is lost by it."
                ),
                "fragments": _whole(
                    "fragments", 1, "Truncated frames in a row after which a connection is closed; each is set aside."
                ),
                "connections": _whole("connections", 1, "Connections at a time; further ones are closed at once."),
                "window": _whole("window", 1, "Messages of one connection that may wait for the journal."),
                "window_bytes": _whole("window_bytes", 1024, "Bytes of one connection that may wait."),
                "feed_bytes": _whole(
                    "feed_bytes",
                    65536,
                    "Bytes of unfinished frames and waiting messages of all connections; beyond it those that hold"
                    " more than their share (this divided by `connections`) are not read, except one at a time."
                    " Each connection may overstep it by one read.",
                ),
                "stop_seconds": _whole("stop_seconds", 0, "How long a stop waits for answers that are on their way."),
            },
        },
    },
}

HTTP_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an hl7v2-http feed",
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
            "default": 2580,
        },
        "charset": _CHARSET,
        "accept": _ACCEPT,
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
            "default": {"body_bytes": 16777216, "waiting": 256, "stop_seconds": 10},
            "properties": {
                "body_bytes": {
                    "description": "The largest message.",
                    "type": "integer",
                    "minimum": 1024,
                    "default": 16777216,
                },
                "waiting": {
                    "description": "Messages at a time; further ones are answered with 503.",
                    "type": "integer",
                    "minimum": 1,
                    "default": 256,
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

FILES_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an hl7v2-files feed",
    "type": "object",
    "additionalProperties": False,
    "required": ["directory"],
    "properties": {
        "directory": {
            "description": "The directory to watch; a relative path is relative to the configuration file.",
            "type": "string",
            "minLength": 1,
        },
        "pattern": {"description": "Which files to take.", "type": "string", "minLength": 1, "default": "*.hl7"},
        "others": {
            "description": "What becomes of other files: they are left where they are (somebody may be writing one), or"
            " go to error/ with a reason.",
            "enum": ["leave", "error"],
            "default": "leave",
        },
        "charset": _CHARSET,
        "accept": _ACCEPT,
        "interval_seconds": {
            "description": "Time between two looks at the directory.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 2,
        },
        "settle_seconds": {
            "description": "How long the size of a file must stay the same before it is taken.",
            "type": "number",
            "minimum": 0,
            "default": 2,
        },
        "window": {
            "description": "Messages of a file that may wait for the journal.",
            "type": "integer",
            "minimum": 1,
            "default": 64,
        },
        "message_bytes": {
            "description": "The largest message; of a larger one the beginning becomes a dead letter.",
            "type": "integer",
            "minimum": 1024,
            "default": 16777216,
        },
    },
}

SENDER_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an mllp-sender destination",
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "port"],
    "properties": {
        "host": {"description": "The receiver's address.", "type": "string", "minLength": 1},
        "port": {"description": "The receiver's port.", "type": "integer", "minimum": 1, "maximum": 65535},
        "timeout_seconds": {
            "description": "Time to connect, send and be answered.",
            "type": "number",
            "exclusiveMinimum": 0,
            "default": 30,
        },
        "encoding": {
            "description": "`raw` sends the bytes as they came; the others write the message anew in that character set"
            " with the standard delimiters.",
            "enum": ["raw", "ascii", "utf-8", "latin-1"],
            "default": "raw",
        },
        "charset": _CHARSET,
        "header": {
            "description": "Fields of MSH to be written instead, by number (3 to 6).",
            "type": "object",
            "propertyNames": {"enum": ["3", "4", "5", "6"]},
            "additionalProperties": {"type": "string", "pattern": "^[ -~]*$"},
        },
        "tls": {
            "description": "TLS to the receiver; without it messages go in the clear.",
            "type": "object",
            "additionalProperties": False,
            "required": ["ca"],
            "dependentRequired": {"certificate": ["key"], "key": ["certificate"]},
            "properties": {
                "ca": _file("The receiver's authority, or `system` for those of the machine"),
                "server_name": {"description": "The name in the receiver's certificate.", "type": "string"},
                **_TLS_COMMON,
                **_TLS_LAST,
            },
        },
    },
}

TRANSLATOR_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings of an hl7v2 translator",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "charset": _CHARSET,
        "timezone": {
            "description": "The IANA time zone of times without an offset. Without it the offset of MSH-7 counts;"
            " without that too they are cut to their date.",
            "type": "string",
            "minLength": 1,
        },
        "systems": {
            "description": "URIs of naming systems, by the name of an authority or coding system as sent; `NAME|TYPE`"
            " for the numbers of one type (CX.5) of an authority, `FACILITY:KIND` for what a facility (MSH-4) numbers"
            " without an authority, such as `practitioner`.",
            "type": "object",
            "additionalProperties": {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$"},
            "default": {},
        },
        "overlays": {
            "description": "A directory with overlays: one TOML file for what is special about a sender; a relative"
            " path is relative to the configuration file.",
            "type": "string",
            "minLength": 1,
        },
        "unmapped_events": {
            "description": "Events without a map (TYPE^EVENT or TYPE^*) whose segments are translated one by one, as an"
            " update of what they tell of. Any other such event is refused.",
            "type": "array",
            "items": {"type": "string", "pattern": _EVENT},
            "default": [],
        },
        "values": {
            "description": "`strict` finds an error in a value that is not of the type that it is said to be (a number"
            " in OBX-5), as a feed with `accept.values` of that name does; `lenient` keeps it as text.",
            "enum": ["strict", "lenient"],
            "default": "lenient",
        },
        "original": {
            "description": "Where the message as received is kept: as a DocumentReference that only privacy officers"
            " see, or nowhere but in the journal.",
            "enum": ["document", "none"],
            "default": "document",
        },
        "patient_identity": {
            "description": "Identifier types (CX.5) in the order in which PID-3 is searched for the identity.",
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "default": ["MR", "PI"],
        },
    },
}


def patterns(values: Iterable[str]) -> dict[str, frozenset[str]]:
    """Turn `ADT^A01`, `ADT^*` into triggers by type."""
    found: dict[str, set[str]] = {}
    for value in values:
        kind, _, trigger = value.partition("^")
        found.setdefault(kind, set()).add(trigger or "*")
    return {kind: frozenset(triggers) for kind, triggers in found.items()}


def filled(schema: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with the defaults of the schema filled in, at every level."""
    result = dict(settings)
    for name, part in schema.get("properties", {}).items():
        if name not in result and "default" in part:
            result[name] = part["default"]
        if part.get("type") == "object" and isinstance(result.get(name), Mapping):
            result[name] = filled(part, result[name])
    return result
