"""Messages that could not be applied: list, group, show, rehearse, retry, discard. Their bytes are never thrown away.

A retry journals the same bytes (or a mended copy) anew, linked to the original, and has exactly one effect however
often it is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hawsepipe.clock import Clock
from hawsepipe.errors import Conflict, InvalidRequest, NotFound
from hawsepipe.hooks import Asking, Feed, Refusal, SetAside, Translator
from hawsepipe.intake.legible import outside, shown
from hawsepipe.intake.rehearsal import Rehearsal, rehearse
from hawsepipe.model import Access, Principal, RawMessage
from hawsepipe.store.contract import EVERY_LETTER, JournalRecord, JournalState, LetterGroup, Letters, Replay, Store

SCOPE = "hawsepipe/operate"
"""The scope that a token needs to see or retry dead letters."""
_REASON = 200
"""Characters of the reason for a decision."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead letters of one store. `translators` maps a feed's name to the translator of its messages; `wake` is
    called when a retry has put something into the journal, and `replayed` with the numbers of a letter and its retry.
    `feeds` are those whose doors are asked before a retry, as far as they can be; `outcome` waits until a message is
    applied or set aside.

    Whoever sees a content or decides about a letter is written to the access record before it happens.
    """

    store: Store
    translators: Mapping[str, Translator]
    clock: Clock
    wake: Callable[[], None]
    replayed: Callable[[int, int], None] = lambda _letter, _sequence: None
    feeds: Mapping[str, Feed] = field(default_factory=dict)
    outcome: Callable[[int], Awaitable[object]] | None = None

    async def list(self, after: int, limit: int, letters: Letters = EVERY_LETTER) -> Sequence[dict[str, Any]]:
        """Return summaries without content, oldest first, of letters with a number above `after`."""
        found = await self.store.dead_letters(after, limit, letters)
        return [summary(record) | outside(record.message, self._translator(record)) for record in found]

    async def groups(self, letters: Letters = EVERY_LETTER) -> Sequence[dict[str, Any]]:
        """Return how many letters there are of each feed, cause, place and reason; the largest group first."""
        return [_group(group) for group in await self.store.letter_groups(letters)]

    async def show(self, sequence: int, operator: Principal) -> dict[str, Any]:
        """Return one letter with its content. Raises NotFound."""
        record = await self._letter(sequence)
        await self._record(operator, "read", sequence)
        translator = self._translator(record)
        return summary(record) | outside(record.message, translator) | shown(record.message, translator)

    async def rehearse(
        self, sequence: int, operator: Principal, body: bytes | None = None, *, forced: bool = False, past: bool = False
    ) -> Rehearsal:
        """Return what a retry of the letter (or of a mended copy) would do now. Raises NotFound."""
        record = await self._letter(sequence)
        await self._record(operator, "rehearse", sequence)
        message = record.message if body is None else replace(record.message, body=body)
        refusal, _ = await self._asked(message, record)
        if refusal is not None and not past:
            return Rehearsal("", refusal, (), (), refusal)
        found = await rehearse(message, self.translators, self.store, self.clock(), forced=forced)
        return replace(found, door=refusal)

    async def retry(
        self,
        sequence: int,
        operator: Principal,
        body: bytes | None = None,
        *,
        forced: bool = False,
        past: bool = False,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Journal a letter (or a mended copy) anew and return the new entry's summary, as it is once it is applied or
        set aside, or after `wait` seconds. Raises NotFound when it is not a
        dead letter, and Conflict when the door of its feed refuses it, unless it is to go `past` that. `forced`: what
        it tells is to be current whatever newer events have told.
        """
        letter = await self._letter(sequence)
        message = letter.message if body is None else replace(letter.message, body=body)
        refusal, key = await self._asked(message, letter)
        if refusal is not None and not past:
            raise Conflict(f"the door of the feed refuses it: {refusal.location or 'message'}: {refusal.text}")
        how = ("-past-the-door" if refusal is not None else "") + ("-forced" if forced else "")
        await self._record(operator, ("retry" if body is None else "mend") + how, sequence)
        record = await self.store.retry(sequence, self.clock(), body, forced=forced, key=key)
        if record is None:
            raise _none(sequence)
        self.replayed(sequence, record.sequence)
        self.wake()
        if wait and self.outcome is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self.outcome(record.sequence)
            record = await self.store.journal(record.sequence) or record
        return summary(record)

    async def discard(self, sequence: int, operator: Principal, reason: str = "") -> None:
        """Take a letter off the list; its bytes stay in the journal, and what waited behind it goes on. The access
        record has the reason.

        Raises NotFound, and InvalidRequest for a reason that is not a line of text.
        """
        check_reason(reason)
        await self._letter(sequence)
        await self._record(operator, "discard", sequence, reason)
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

    async def _asked(self, message: RawMessage, letter: JournalRecord) -> tuple[Refusal | None, str | None]:
        """Return what the door has against a letter or its mended copy, and the key that it has now."""
        feed = self.feeds.get(message.feed)
        if not isinstance(feed, Asking):
            return None, None
        said = feed.ask(message, SetAside(letter.message, letter.key, letter.refusal))
        if said.refusal is not None or said.reuse is None:
            return said.refusal, said.key
        used = await self.store.key_used(message.feed, said.key, message.digest)
        return (said.reuse if used else None), said.key

    def _translator(self, record: JournalRecord) -> Translator | None:
        return self.translators.get(record.message.feed)

    async def _letter(self, sequence: int) -> JournalRecord:
        record = await self.store.journal(sequence)
        if record is None or record.state is not JournalState.DEAD:
            raise _none(sequence)
        return record

    async def _record(self, operator: Principal, interaction: str, sequence: int, reason: str = "") -> None:
        access = Access(
            instant=self.clock(),
            subject=operator.subject,
            client=operator.client,
            purpose=operator.purpose,
            interaction=interaction,
            target=f"journal/{sequence}",
            patients=(),
            permit=True,
            reasons=("operator", reason) if reason else ("operator",),
        )
        await self.store.record([access])


def check_reason(reason: str) -> None:
    """Raise InvalidRequest for an operator's reason that is not a line of text."""
    if len(reason) > _REASON or not reason.isprintable():
        raise InvalidRequest(f"a reason is one line of at most {_REASON} characters")


def _none(sequence: int) -> NotFound:
    return NotFound(f"there is no dead letter {sequence}")


def summary(record: JournalRecord, replay: Replay | None = None) -> dict[str, Any]:
    """Return what can be said of an entry without its content: no patient data. `replay` is its retry, if it was a
    letter that was retried.
    """
    refusal = record.refusal
    decision = None
    if record.state is JournalState.DISCARDED:
        decision = "discarded" if replay is None else "mended" if replay.mended else "retried"
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
        "decision": decision,
        "replayed_as": replay.sequence if replay else None,
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
