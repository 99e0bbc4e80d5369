"""What goes into the journal: a reading as it came, or the readings of a window. Pure.

A reading's body is the payload, byte for byte; its topic stands in the media type. A window's body is canonical JSON
that holds each of its payloads: the same readings make the same bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from hawsepipe import MessageError

READING: Final = "application/vnd.hawsepipe.reading"
WINDOW: Final = "application/vnd.hawsepipe.window+json"
_TOPIC: Final = "; topic="
_FORM: Final = 1


def reading_type(topic: str) -> str:
    """Return the media type of a reading on a topic."""
    return f"{READING}{_TOPIC}{quote(topic, safe='/')}"


def topic_of(media_type: str) -> str:
    """Return the topic that a media type tells. Raises MessageError when it tells none."""
    essence, mark, topic = media_type.partition(_TOPIC)
    if essence != READING or not mark:
        raise MessageError("structure", "topic", "this is no reading of a device")
    return unquote(topic)


class Sample(NamedTuple):
    """A reading of a window: its time (microseconds since 1970), topic and payload as they came."""

    at: int
    topic: str
    payload: bytes


class Gathered(NamedTuple):
    """A window: its template by name, the device, when it begins (microseconds since 1970), its readings by time."""

    template: str
    device: str
    start: int
    samples: Sequence[Sample]


def window_body(window: Gathered) -> bytes:
    """Return a window as bytes."""
    document = {
        "form": _FORM,
        "template": window.template,
        "device": window.device,
        "start": window.start,
        "readings": [[one.at, one.topic, *_text(one.payload)] for one in sorted(window.samples)],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def window_of(body: bytes) -> Gathered:
    """Return the window that bytes are. Raises MessageError for what is none."""
    try:
        document = json.loads(body)
        if document["form"] != _FORM:
            raise ValueError
        samples = [Sample(int(row[0]), str(row[1]), _bytes(row[2:])) for row in document["readings"]]
        return Gathered(str(document["template"]), str(document["device"]), int(document["start"]), samples)
    except (ValueError, TypeError, LookupError, RecursionError, binascii.Error) as error:
        raise MessageError("parse", "", "this is no window of readings") from error


def _text(payload: bytes) -> list[str]:
    try:
        return [payload.decode("utf-8")]
    except UnicodeDecodeError:
        return [base64.b64encode(payload).decode("ascii"), "base64"]


def _bytes(row: Sequence[Any]) -> bytes:
    return base64.b64decode(row[0], validate=True) if row[1:] == ["base64"] else str(row[0]).encode()
