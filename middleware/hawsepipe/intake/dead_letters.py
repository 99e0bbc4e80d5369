"""Messages that could not be applied: list, show, replay, discard. Their bytes are never thrown away.

A replay journals the same bytes anew, linked to the original, and has exactly one effect however often it is asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import NotFound
from hawsepipe.store.contract import JournalRecord, JournalState, Store

SCOPE = "hawsepipe/operate"
"""The scope that a token needs to see or replay dead letters."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one store. `wake` is called when a replay has put something into the journal."""

    store: Store
    clock: Clock
    wake: Callable[[], None]

    async def list(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return summaries without content, oldest first, of letters with a number above `after`."""
        return [summary(record) for record in await self.store.dead_letters(after, limit)]

    async def show(self, sequence: int) -> dict[str, Any]:
        """Return one letter with its content. Raises NotFound."""
        record = await self._letter(sequence)
        body = record.message.body
        try:
            content = {"text": body.decode("utf-8")}
        except UnicodeDecodeError:
            content = {"base64": base64.b64encode(body).decode("ascii")}
        return summary(record) | {"content": content}

    async def replay(self, sequence: int) -> dict[str, Any]:
        """Journal a letter anew and return the new entry's summary. Raises NotFound when it is not a dead letter."""
        record = await self.store.replay(sequence, self.clock())
        if record is None:
            raise NotFound(f"there is no dead letter {sequence}")
        self.wake()
        return summary(record)

    async def discard(self, sequence: int) -> None:
        """Take a letter off the list; its bytes stay in the journal. Raises NotFound."""
        if not await self.store.discard(sequence, self.clock()):
            raise NotFound(f"there is no dead letter {sequence}")

    async def _letter(self, sequence: int) -> JournalRecord:
        record = await self.store.journal(sequence)
        if record is None or record.state is not JournalState.DEAD:
            raise NotFound(f"there is no dead letter {sequence}")
        return record


def summary(record: JournalRecord) -> dict[str, Any]:
    """Return what can be said of an entry without its content: no patient data."""
    refusal = record.refusal
    return {
        "sequence": record.sequence,
        "state": record.state.value,
        "feed": record.message.feed,
        "received": record.message.received_at.isoformat(),
        "label": record.label,
        "digest": record.message.digest.hex(),
        "bytes": len(record.message.body),
        "cause": refusal.cause if refusal else None,
        "location": refusal.location if refusal else None,
        "text": refusal.text if refusal else None,
        "replay_of": record.replay_of,
    }
