"""What becomes of a message at the door: refused, known already, a message of its own, a part of windows.

Whatever is found here about a device is noted in the batch that is being made, so that the next message of the same
batch is judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from hawsepipe import MessageError, Refusal
from hawsepipe_iomt import signatures
from hawsepipe_iomt.devices import Registry
from hawsepipe_iomt.messages import Sample
from hawsepipe_iomt.payloads import microseconds
from hawsepipe_iomt.spool import Batch, Kept, Known, Place
from hawsepipe_iomt.templates import Book, Reading
from hawsepipe_iomt.translator import windows_of

SIGNATURE, REPLAY = "signature", "replay"
"""Events of security: a signature that is missing or wrong, a signed reading that was there before."""


class Arrived(NamedTuple):
    """A message of the broker: `again` is its mark of a second delivery (DUP), `retained` of one that it has kept."""

    topic: str
    payload: bytes
    received: datetime
    again: bool
    retained: bool


class Verdict(NamedTuple):
    """What is to be done. With `key` the message goes to the journal, with `refusal` as a dead letter. `events` are
    counted; `kept` are its parts in windows.
    """

    key: str = ""
    refusal: Refusal | None = None
    events: tuple[tuple[str, int], ...] = ()
    kept: tuple[Kept, ...] = ()
    duplicate: bool = False


class Door:
    """Judges messages in the order in which they come. `known`, `last` and `horizons` are what the spool has."""

    def __init__(
        self,
        book: Book,
        registry: Registry,
        known: dict[str, Known],
        last: dict[str, bytes],
        horizons: dict[tuple[str, str], int],
        ahead: timedelta,
        most: int,
    ) -> None:
        self._book = book
        self._registry = registry
        self._known = known
        self._last = last
        self._horizons = horizons
        self._ahead = ahead
        self._most = most
        self._number = 0

    def forgotten(self, horizons: Mapping[tuple[str, str], int]) -> None:
        """Take note of windows that take nothing any more."""
        self._horizons.update(horizons)

    def judge(self, arrived: Arrived, batch: Batch) -> Verdict:
        """Judge one message, and note in the batch what it tells of its device."""
        digest = sha256(arrived.topic.encode() + b"\0" + arrived.payload).digest()
        repeated = (arrived.again or arrived.retained) and self._last.get(arrived.topic) == digest
        self._number += 1
        # A message that nothing tells apart from an equal one is known by when it came.
        moment = f"{arrived.received.isoformat()}|{self._number}"
        try:
            if len(arrived.payload) > self._most:
                raise MessageError("structure", "payload", "the payload is larger than what is taken (payload_bytes)")
            envelope = signatures.opened(arrived.payload)
            readings = self._book.read(arrived.topic, envelope.payload)
            for reading in readings:
                signatures.check(self._registry, reading.device, arrived.topic, envelope)
            if envelope.nonce is not None:
                self._in_order(arrived, readings, envelope.nonce, repeated)
            for reading in readings:
                if reading.time is not None and reading.time > arrived.received + self._ahead:
                    raise MessageError("structure", "time", "the time of the reading is still to come")
            windows = windows_of(readings)
            for template, device, start, _ in windows:
                if start <= self._horizons.get((template.name, device), -1):
                    raise MessageError("structure", "time", "the window of this reading was closed too long ago")
        except MessageError as error:
            refusal = Refusal(error.cause, error.location, error.reason)
            event = ((SIGNATURE, 1),) if error.location == "signature" else ()
            event = ((REPLAY, 1),) if error.location == "nonce" and error.cause == "identity" else event
            key = f"refused|{digest.hex()}" if repeated else f"refused|{digest.hex()}|{moment}"
            self._note_last(arrived.topic, digest, batch)
            return Verdict(key, refusal, event)
        self._note_last(arrived.topic, digest, batch)
        events = tuple(event for reading in readings for event in self._progress(reading, envelope.nonce, batch))
        if repeated and envelope.nonce is None and not any(_identified(reading) for reading in readings):
            return Verdict(duplicate=True, events=events)
        kept = tuple(
            Kept(Place(template.name, device, start), digest, Sample(at, arrived.topic, arrived.payload))
            for template, device, start, at in windows
        )
        key = ""
        if any(reading.template.window is None for reading in readings):
            key = _key(arrived.topic, readings, envelope.nonce) or f"{digest.hex()}|{moment}"
        return Verdict(key, None, events, kept)

    def _in_order(self, arrived: Arrived, readings: tuple[Reading, ...], nonce: int, repeated: bool) -> None:
        for reading in readings:
            known = self._known.get(reading.device)
            # The broker's own second delivery of the last one is not an attack; the journal knows it.
            if known is not None and nonce <= known.nonce and not (repeated and nonce == known.nonce):
                raise MessageError("identity", "nonce", "a signed reading with this or a later number was there before")

    def _note_last(self, topic: str, digest: bytes, batch: Batch) -> None:
        self._last[topic] = batch.last[topic] = digest

    def _progress(self, reading: Reading, nonce: int | None, batch: Batch) -> list[tuple[str, int]]:
        """Note how far a device has come; return its gaps."""
        known = self._known.setdefault(reading.device, Known())
        events: list[tuple[str, int]] = []
        at = microseconds(reading.time) if reading.time is not None else 0
        if reading.sequence is not None:
            if 0 <= known.sequence < reading.sequence - 1:
                events.append(("sequence_gap", reading.sequence - known.sequence - 1))
            if reading.sequence > known.sequence:
                known.sequence = reading.sequence
            elif reading.sequence < known.sequence and at > known.latest:
                # Older by its number and newer by its time: the device counts anew.
                events.append(("sequence_restart", 1))
                known.sequence = reading.sequence
        known.latest = max(known.latest, at)
        if nonce is not None:
            known.nonce = max(known.nonce, nonce)
        batch.devices[reading.device] = known
        return events


def _identified(reading: Reading) -> bool:
    return reading.time is not None or reading.sequence is not None


def _key(topic: str, readings: tuple[Reading, ...], nonce: int | None) -> str:
    """Return what identifies a message by its own word, empty when it says nothing of the kind."""
    if nonce is None and not any(_identified(reading) for reading in readings):
        return ""
    told = [(one.device, one.sequence, None if one.time is None else one.time.isoformat()) for one in readings]
    return sha256(repr((topic, nonce, told)).encode()).hexdigest()
