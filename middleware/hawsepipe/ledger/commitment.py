"""Commitments: the only thing of a version that the ledger sees.

    commitment = SHA-256("hawsepipe/commit/v1" 0x00 || salt[32] || opening)

The opening is canonical JSON (`fhir.canonical`) of strings, integers, lists and objects. Keys by kind; one that has
no value is absent:

    kind          resource, consent (a resource of type Consent), provenance (what the transaction itself wrote)
    channel       the channel whose log the leaf goes to
    type, id, version, operation, patients (ids, sorted), recorded (UTC, microseconds)
    versionHash   SHA-256, hex, of the canonical content; absent for a delete
    staticHash    the same without top-level meta and text
    previous      commitment, hex, of the version before
    provenance    resource, consent: commitment, hex, of the transaction's Provenance
    targets       provenance: `target` of each version, in order
    source, rules provenance: SHA-256, hex, of the source message and of the mapping rules in force

A state leaf (kind state) has none of these but kind and channel, and

    map           root, hex, of the current-state map (`statemap`) with all that is before it in the log
    size          the log's size with it: it is the last leaf of its batch

A target is named by a keyed hash under the target's own salt, so that a Provenance's opening tells its reader
nothing about targets that they cannot open, and nothing at all about one whose salt was destroyed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import msgspec

from hawsepipe.errors import ConfigError
from hawsepipe.fhir.canonical import digests
from hawsepipe.model import Draft, Seal

SALT_BYTES = 32
_COMMIT = b"hawsepipe/commit/v1\x00"
_TARGET = b"hawsepipe/target/v1\x00"
_CHANNEL = re.compile(r"[!-*,-~]{1,200}")


class Commitments:
    """Seals versions for one channel; implements `store.contract.Sealer`. `random(n)` gives n unpredictable bytes."""

    def __init__(self, channel: str, random: Callable[[int], bytes]) -> None:
        self._channel = checked_channel(channel)
        self._random = random

    def seal(
        self, drafts: Sequence[Draft], provenance: Draft | None, source: bytes | None, rules: bytes | None
    ) -> tuple[tuple[Seal, ...], Seal | None]:
        """Seal the versions of one transaction and its Provenance; `source` and `rules` are 32-byte digests or None.

        Raises InvalidRequest for content without a canonical form.
        """
        texts: dict[datetime, str] = {}  # all of one transaction have the same instant
        openings = [
            self._opening("consent" if draft.type == "Consent" else "resource", draft, texts) for draft in drafts
        ]
        salts = [self._random(SALT_BYTES) for _ in drafts]
        whole: Seal | None = None
        if provenance is not None:
            told = self._opening("provenance", provenance, texts)
            told["targets"] = [target(salt, opening) for salt, opening in zip(salts, openings, strict=True)]
            if source is not None:
                told["source"] = source.hex()
            if rules is not None:
                told["rules"] = rules.hex()
            whole = _sealed(self._random(SALT_BYTES), told)
            for opening in openings:
                opening["provenance"] = whole.commitment.hex()
        seals: dict[tuple[str, str, int], Seal] = {}
        for salt, opening in zip(salts, openings, strict=True):
            place = (opening["type"], opening["id"], opening["version"])
            # A transaction may hold two versions of one resource: the second rests on the first, sealed just now.
            before = seals.get((*place[:2], place[2] - 1))
            if before is not None:
                opening["previous"] = before.commitment.hex()
            seals[place] = _sealed(salt, opening)
        return tuple(seals.values()), whole

    def _opening(self, kind: str, draft: Draft, texts: dict[datetime, str]) -> dict[str, Any]:
        recorded = texts.get(draft.recorded)
        if recorded is None:
            recorded = texts[draft.recorded] = instant_text(draft.recorded)
        opening: dict[str, Any] = {
            "channel": self._channel,
            "id": draft.id,
            "kind": kind,
            "operation": draft.operation.value,
            "patients": sorted(draft.patients),
            "recorded": recorded,
            "type": draft.type,
            "version": draft.version,
        }
        if draft.content is not None:
            whole, unmoved = draft.digests or digests(draft.content)
            opening["versionHash"] = whole.hex()
            opening["staticHash"] = unmoved.hex()
        if draft.previous is not None:
            opening["previous"] = draft.previous.hex()
        return opening


def commitment(salt: bytes, opening: bytes) -> bytes:
    """Return the commitment that this salt and these canonical bytes open."""
    return sha256(_COMMIT + salt + opening).digest()


def target(salt: bytes, opening: dict[str, Any]) -> str:
    """Return, in hex, how a Provenance names a target: a hash, under the target's salt, of what identifies it."""
    names: dict[str, Any] = {key: opening[key] for key in ("id", "type", "version", "versionHash") if key in opening}
    return sha256(_TARGET + salt + _encoded(names)).hexdigest()


def state_opening(channel: str, size: int, root: bytes) -> bytes:
    """Return the opening of the state leaf that makes the log's size `size`; `root` is the current-state map's."""
    return _encoded({"channel": channel, "kind": "state", "map": root.hex(), "size": size})


def instant_text(instant: datetime) -> str:
    """Return an instant as openings hold it: UTC with six decimals of the second."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def checked_channel(channel: str) -> str:
    """Return the channel if it can be the name of a signed note's key. Raises ConfigError."""
    if _CHANNEL.fullmatch(channel) is None:
        raise ConfigError("channel", "it must be 1 to 200 visible ASCII characters without '+'")
    return channel


def _sealed(salt: bytes, opening: dict[str, Any]) -> Seal:
    encoded = _encoded(opening)
    return Seal(commitment=commitment(salt, encoded), opening=encoded, salt=salt)


def _encoded(value: dict[str, Any]) -> bytes:
    # Strings, integers, lists and objects only: here the sorted form of msgspec and that of `fhir.canonical` are the
    # same bytes.
    return msgspec.json.encode(value, order="sorted")
