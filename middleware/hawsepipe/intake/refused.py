"""What a destination would not have: listed, shown, sent again one by one, discarded.

A content is patient data: whoever sees one, or decides about an entry, is written to the access record before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import NotFound
from hawsepipe.hooks import Translator
from hawsepipe.intake.dead_letters import check_reason
from hawsepipe.intake.legible import shown
from hawsepipe.model import Access, Principal
from hawsepipe.store.answers import Aside
from hawsepipe.store.contract import Store


@dataclass(frozen=True, slots=True)
class Refused:
    """The entries of the queues of one store. `wake` is called with the name of a destination that has something to do
    again; `translators` maps a feed's name to the translator of its messages.
    """

    store: Store
    clock: Clock
    wake: Callable[[str], None]
    translators: Mapping[str, Translator] = field(default_factory=dict)

    async def list(self, destination: str | None, after: int, limit: int) -> Sequence[dict[str, Any]]:
        """Return what was set aside, oldest first, without content."""
        return [_summary(one) for one in await self.store.asides(destination, after, limit)]

    async def show(self, number: int, operator: Principal) -> dict[str, Any]:
        """Return one entry with the message. Raises NotFound."""
        entry = await self._entry(number)
        record = await self.store.journal(entry.sequence)
        if record is None:
            raise _none(number)
        await self._record(operator, "read", f"journal/{entry.sequence}")
        return _summary(entry) | shown(record.message, self.translators.get(record.message.feed))

    async def again(self, number: int, operator: Principal) -> None:
        """Send one that was set aside again, in its old place before what waits. Raises NotFound."""
        entry = await self._entry(number)
        await self._record(operator, "deliver-again", f"delivery/{number}")
        if not await self.store.deliver_one_again(number):
            raise _none(number)
        self.wake(entry.destination)

    async def discard(self, number: int, operator: Principal, reason: str = "") -> None:
        """Take an entry off its queue, also one that waits: its destination never gets it. The access record has the
        reason. Raises NotFound, and InvalidRequest for a reason that is not a line of text.
        """
        check_reason(reason)
        entry = await self._entry(number)
        await self._record(operator, "deliver-never", f"delivery/{number}", reason)
        await self.store.delivered(number)
        self.wake(entry.destination)

    async def _entry(self, number: int) -> Aside:
        entry = await self.store.entry(number)
        if entry is None:
            raise _none(number)
        return entry

    async def _record(self, operator: Principal, interaction: str, target: str, reason: str = "") -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction=interaction,
            target=target,
            patients=(),
            permit=True,
            reasons=("operator", reason) if reason else ("operator",),
        )
        await self.store.record([access])


def _none(number: int) -> NotFound:
    return NotFound(f"there is no delivery {number} that this can be done with")


def _summary(entry: Aside) -> dict[str, Any]:
    refusal = entry.refusal
    return {
        "number": entry.number,
        "destination": entry.destination,
        "sequence": entry.sequence,
        "label": entry.label,
        "state": "waiting" if refusal is None else "set-aside",
        "since": entry.settled_at.isoformat() if entry.settled_at else None,
        "cause": refusal.cause if refusal else None,
        "text": refusal.text if refusal else None,
    }
