"""HL7 v2 to FHIR R4 as a library: `translate` a message, `bundle` what it became, `split` a file into messages.

Pure and thread-safe: the same bytes with the same settings give the same result, from any number of threads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema

from hawsepipe import ConfigError, MessageError, RawMessage, Translation
from hawsepipe_hl7v2 import batches
from hawsepipe_hl7v2.mllp import MEDIA_TYPE
from hawsepipe_hl7v2.overlay_checks import complaints
from hawsepipe_hl7v2.overlays import read as read_overlays
from hawsepipe_hl7v2.senders import TOO_LONG, Senders
from hawsepipe_hl7v2.settings import TRANSLATOR_SCHEMA
from hawsepipe_hl7v2.tables import shipped

_SOME_TIME = datetime(1, 1, 1, tzinfo=UTC)
_SCHEMA = TRANSLATOR_SCHEMA | {
    "properties": {key: value for key, value in TRANSLATOR_SCHEMA["properties"].items() if key != "overlays"}
}


def translator(*, overlays: Path | str | None = None, **settings: Any) -> Senders:
    """Return a translator with the given settings (those of the kind `hl7v2`, see docs/settings.md), compiled once.

    `overlays` is a directory of overlay files (docs/overlays.md), read now. Raises ConfigError.
    """
    wrong = [ConfigError(key, reason) for key, reason in complaints(jsonschema.Draft202012Validator(_SCHEMA), settings)]
    if wrong:
        raise ConfigError(wrong[0].key, wrong[0].reason, wrong[1:])
    found = read_overlays(Path(overlays), shipped()) if overlays is not None else ()
    return Senders(settings, shipped(), found)


@lru_cache(maxsize=16)
def _known(overlays: str | None, settings: str) -> Senders:
    return translator(overlays=overlays, **json.loads(settings))


class Cut(bytes):
    """The beginning of a message that was too long to be read whole. `translate` says so at error level."""


def translate(message: bytes | RawMessage, *, overlays: Path | str | None = None, **settings: Any) -> Translation:
    """Translate one message as far as it goes.

    Whatever is wrong with it is an issue, at error level when it stands against using the result: causes parse,
    structure, mapping, code, required and identity, each with its v2 location. Raises MessageError only for what does
    not begin with an MSH segment, ConfigError for settings that are wrong or unknown, and TypeError for a message
    that is text already: which bytes were sent decides its character set. The tables are compiled, and the directory of
    `overlays` read, on the first call with the same settings; see `translator` for doing it oneself.
    """
    if not isinstance(message, bytes | RawMessage):
        raise TypeError(f"a message is bytes as they were sent, not {type(message).__name__}")
    using = _known(None if overlays is None else str(overlays), json.dumps(settings, sort_keys=True, default=repr))
    if not isinstance(message, bytes):
        return using.read(message)
    translation = using.read(RawMessage("library", _SOME_TIME, MEDIA_TYPE, bytes(message)))
    return replace(translation, issues=(TOO_LONG, *translation.issues)) if isinstance(message, Cut) else translation


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the messages of a file given in chunks: one, several, a batch, or MLLP frames. See `batches` for more.

    Raises MessageError after the last message when one is missing: an MLLP frame has no end, or a batch has not as many
    messages as it says.
    """
    lost = None
    for part in batches.split(chunks):
        if isinstance(part, batches.Part):
            yield Cut(part.body) if part.truncated else part.body
        elif part.lost and lost is None:
            lost = MessageError(part.cause, part.location, part.text)
    if lost is not None:
        raise lost
