"""Messages that could not be applied: list, group, show, rehearse, retry, discard. Their bytes are never thrown away.

A retry journals the same bytes (or a mended copy) anew, linked to the original, and has exactly one effect however
often it is asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import NotFound
from hawsepipe.hooks import Translator
from hawsepipe.intake.rehearsal import Rehearsal, rehearse
from hawsepipe.model import Access, Principal
from hawsepipe.store.contract import EVERY_LETTER, JournalRecord, JournalState, LetterGroup, Letters, Store

SCOPE = "hawsepipe/operate"
"""The scope that a token needs to see or retry dead letters."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one store. `translators` maps a feed's name to the translator of its messages; `wake` is
    called when a retry has put something into the journal, and `replayed` with the numbers of a letter and its retry.

    Whoever sees a content or decides about a letter is written to the access record before it happens.
    """

    store: Store
    translators: Mapping[str, Translator]
    clock: Clock
    wake: Callable[[], None]
    replayed: Callable[[int, int], None] = lambda _letter, _sequence: None

    async def list(self, after: int, limit: int, letters: Letters = EVERY_LETTER) -> Sequence[dict[str, Any]]:
        """Return summaries without content, oldest first, of letters with a number above `after`."""
        return [summary(record) for record in await self.store.dead_letters(after, limit, letters)]

    async def groups(self, letters: Letters = EVERY_LETTER) -> Sequence[dict[str, Any]]:
        """Return how many letters there are of each feed, cause, place and reason; the largest group first."""
        return [_group(group) for group in await self.store.letter_groups(letters)]

    async def show(self, sequence: int, operator: Principal) -> dict[str, Any]:
        """Return one letter with its content. Raises NotFound."""
        record = await self._letter(sequence)
        await self._record(operator, "read", sequence)
        body = record.message.body
        try:
            content = {"text": body.decode("utf-8")}
        except UnicodeDecodeError:
            content = {"base64": base64.b64encode(body).decode("ascii")}
        return summary(record) | {"media_type": record.message.media_type, "content": content}

    async def rehearse(
        self, sequence: int, operator: Principal, body: bytes | None = None, *, forced: bool = False
    ) -> Rehearsal:
        """Return what a retry of the letter (or of a mended copy) would do now. Raises NotFound."""
        record = await self._letter(sequence)
        await self._record(operator, "rehearse", sequence)
        message = record.message if body is None else replace(record.message, body=body)
        return await rehearse(message, self.translators, self.store, self.clock(), forced=forced)

    async def retry(
        self, sequence: int, operator: Principal, body: bytes | None = None, *, forced: bool = False
    ) -> dict[str, Any]:
        """Journal a letter (or a mended copy) anew and return the new entry's summary. Raises NotFound when it is not a
        dead letter. `forced`: what it tells is to be current whatever newer events have told.
        """
        await self._letter(sequence)
        await self._record(operator, ("retry" if body is None else "mend") + ("-forced" if forced else ""), sequence)
        record = await self.store.retry(sequence, self.clock(), body, forced=forced)
        if record is None:
            raise _none(sequence)
        self.replayed(sequence, record.sequence)
        self.wake()
        return summary(record)

    async def discard(self, sequence: int, operator: Principal) -> None:
        """Take a letter off the list; its bytes stay in the journal, and what waited behind it goes on.

        Raises NotFound.
        """
        await self._letter(sequence)
        await self._record(operator, "discard", sequence)
        if not await self.store.discard(sequence, self.clock()):
            raise _none(sequence)
        self.wake()

    async def lanes(self) -> Sequence[dict[str, Any]]:
        """Return the lanes that are held, the longest held first: of whom, by which letter, how many wait."""
        return [
            {
                "patient": f"Patient/{lane.patient}",
                "letter": lane.letter,
                "state": lane.state,
                "waiting": lane.waiting,
                "oldest": lane.oldest.isoformat(),
            }
            for lane in await self.store.lanes()
        ]

    async def _letter(self, sequence: int) -> JournalRecord:
        record = await self.store.journal(sequence)
        if record is None or record.state is not JournalState.DEAD:
            raise _none(sequence)
        return record

    async def _record(self, operator: Principal, interaction: str, sequence: int) -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction=interaction,
            target=f"journal/{sequence}",
            patients=(),
            permit=True,
            reasons=("operator",),
        )
        await self.store.record([access])


def _none(sequence: int) -> NotFound:
    return NotFound(f"there is no dead letter {sequence}")


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


def _group(group: LetterGroup) -> dict[str, Any]:
    return {
        "feed": group.feed,
        "cause": group.refusal.cause,
        "location": group.refusal.location,
        "text": group.refusal.text,
        "count": group.count,
        "first": group.first,
        "last": group.last,
        "oldest": group.oldest.isoformat(),
        "newest": group.newest.isoformat(),
    }
