"""What is in the journal, whatever became of it: found, shown with its answer, and handed out to be tried again.

A content is patient data: whoever sees one is written to the access record before it leaves.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import NotFound
from hawsepipe.hooks import Translator
from hawsepipe.intake.dead_letters import summary
from hawsepipe.intake.legible import content, outside, shown
from hawsepipe.model import Access, Principal
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import JournalRecord, JournalState, Replay, Store


@dataclass(frozen=True, slots=True)
class Archive:
    """The messages of one store. `translators` maps a feed's name to the translator of its messages."""

    store: Store
    clock: Clock
    translators: Mapping[str, Translator] = field(default_factory=dict)

    async def list(self, asked: Messages, operator: Principal) -> Sequence[dict[str, Any]]:
        """Return summaries without content, newest first. Who asks for those about one patient is recorded."""
        records = await self.store.messages(asked)
        if asked.identifier is not None:
            await self._record(operator, "search", "journal")
        replays = await self._replays(records)
        return [self._summary(record, replays.get(record.sequence)) for record in records]

    async def show(self, sequence: int, operator: Principal) -> dict[str, Any]:
        """Return one message with its content, and with the answer that its sender got. Raises NotFound."""
        record = await self.store.journal(sequence)
        if record is None:
            raise NotFound(f"there is no message {sequence}")
        await self._record(operator, "read", f"journal/{sequence}")
        replays = await self._replays([record])
        told = shown(record.message, self.translators.get(record.message.feed))
        return self._summary(record, replays.get(sequence)) | told | {"answer": content(record.reply)}

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

    def _summary(self, record: JournalRecord, replay: Replay | None) -> dict[str, Any]:
        return summary(record, replay) | outside(record.message, self.translators.get(record.message.feed))

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
