"""What is in the journal, whatever became of it: found, shown with its answer, and handed out to be tried again.

A content is patient data: whoever sees one is written to the access record before it leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import NotFound
from hawsepipe.intake.dead_letters import summary
from hawsepipe.model import Access, Principal
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import JournalRecord, JournalState, Replay, Store


@dataclass(frozen=True, slots=True)
class Archive:
    """The messages of one store."""

    store: Store
    clock: Clock

    async def list(self, asked: Messages, operator: Principal) -> Sequence[dict[str, Any]]:
        """Return summaries without content, newest first. Who asks for those about one patient is recorded."""
        records = await self.store.messages(asked)
        if asked.identifier is not None:
            await self._record(operator, "search", "journal")
        replays = await self._replays(records)
        return [summary(record, replays.get(record.sequence)) for record in records]

    async def show(self, sequence: int, operator: Principal) -> dict[str, Any]:
        """Return one message with its content, and with the answer that its sender got. Raises NotFound."""
        record = await self.store.journal(sequence)
        if record is None:
            raise NotFound(f"there is no message {sequence}")
        await self._record(operator, "read", f"journal/{sequence}")
        replays = await self._replays([record])
        return summary(record, replays.get(sequence)) | {
            "media_type": record.message.media_type,
            "content": _text(record.message.body),
            "answer": _text(record.reply),
        }

    async def contents(self, asked: Messages, operator: Principal) -> Sequence[dict[str, Any]]:
        """Return messages with their content, newest first."""
        records = await self.store.messages(asked)
        if records:
            await self._record(operator, "read", f"journal/{records[-1].sequence}..{records[0].sequence}")
        return [
            summary(record)
            | {
                "media_type": record.message.media_type,
                "base64": base64.b64encode(record.message.body).decode("ascii"),
            }
            for record in records
        ]

    async def _replays(self, records: Sequence[JournalRecord]) -> Mapping[int, Replay]:
        settled = [record.sequence for record in records if record.state is JournalState.DISCARDED]
        return await self.store.replays(settled) if settled else {}

    async def _record(self, operator: Principal, interaction: str, target: str) -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction=interaction,
            target=target,
            patients=(),
            permit=True,
            reasons=("operator",),
        )
        await self.store.record([access])


def _text(body: bytes) -> Mapping[str, str]:
    try:
        return {"text": body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode("ascii")}
