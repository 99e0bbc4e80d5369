"""What a feed does with one message: examine it, have it stored, say what to answer, and later what became of it.

Nothing here knows of sockets. Whatever fails on the way, the bytes of a message reach the intake, and there is an
answer, or the word that none can be built.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from hawsepipe import Acceptance, HawsepipeError, Intake, MessageError, Meters, RawMessage, Refusal, Reuse
from hawsepipe_hl7v2 import continuation
from hawsepipe_hl7v2.acknowledgement import Finding, build, code_of, minimal, wanted
from hawsepipe_hl7v2.door import Arrival, Door, arrive, finding_of, sender_of
from hawsepipe_hl7v2.sequences import Place, Sequences, Standing, expected, place, read_number

UNAVAILABLE = Finding("R", 207, "", "the message cannot be stored now")
_GAP = Finding("R", 100, "MSH-13", "the sequence number is not the one that is waited for")
_NO_NUMBER = MessageError("parse", "MSH-13", "the sequence number is not a number of the protocol")
_REUSED = Finding("E", 205, "MSH-10", "the message control id belongs to another message")
_PART = Refusal("structure", continuation.PLACE, "a part of a message: its rest has not come")
_UNEXAMINED = Refusal("parse", "", "the message could not be examined")
_log = structlog.get_logger("hawsepipe.feed")


@dataclass(frozen=True, slots=True)
class Awaited:
    """An application acknowledgement to come: of which message, and its number in the journal."""

    arrival: Arrival
    sequence: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send at once (`reply`: empty for nothing, None when the connection must be closed), what to send later,
    and whether the message was stored (None when nobody is to be told).
    """

    reply: bytes | None
    awaited: Awaited | None = None
    stored: bool | None = True


@dataclass(frozen=True, slots=True)
class Rules:
    """A feed's rules. `strict`: a control id that is used again for another message is an error. `sequences` None: the
    sequence number protocol is off.
    """

    door: Door
    strict: bool = False
    sequences: Sequences | None = None


class Reception:
    """The reception of one feed."""

    def __init__(self, name: str, rules: Rules, clock: Callable[[], datetime], meters: Meters, intake: Intake) -> None:
        self._name = name
        self._rules = rules
        self._clock = clock
        self._meters = meters
        self._intake = intake
        self._joining = asyncio.Lock()

    async def take(
        self, raw: RawMessage, fault: MessageError | None = None, *, silent: bool = False, bound: frozenset[str] | None
    ) -> Answer:
        """Store one message and say what to answer.

        `fault` is one that the framing found; `silent`: nobody waits for an answer; `bound` are the senders that the
        connection's certificate stands for.
        """
        try:
            link = None if fault is not None or silent else continuation.link_of(raw.body)
            if link is not None:
                # One after the other: the last part may come before the first one is stored.
                async with self._joining:
                    answer = await self._in_parts(raw, link, bound)
                if answer is not None:
                    return answer
            arrival = arrive(raw, self._rules.door, fault, bound)
            if arrival.foreign:
                self._count("foreign_sender")
                _log.warning("a message of a sender that does not belong to this feed", feed=self._name)
            number = arrival.header.word(13, 1) if self._rules.sequences is not None and arrival.header else ""
            if number and arrival.answerable and not arrival.foreign and not silent:
                return await self._in_turn(raw, arrival, number)
            return await self._accepted(raw, arrival, silent=silent)
        except Exception as error:
            self._report("a message could not be examined", error)
        code, reply = self._least(raw, unavailable=False)
        try:
            await self._intake.accept(raw, key="unreadable", reply=b"" if silent else reply or b"", refusal=_UNEXAMINED)
        except Exception as error:
            if not isinstance(error, HawsepipeError):
                self._report("the intake failed", error)
            code, reply = self._least(raw, unavailable=True)
            return Answer(b"" if silent else self._sent(code, reply), stored=False)
        return Answer(b"" if silent else self._sent(code, reply))

    async def final(self, awaited: Awaited) -> tuple[bytes, bool]:
        """Wait for what becomes of a message; return its application acknowledgement, empty when none is wanted, and
        whether it was applied.
        """
        arrival = awaited.arrival
        refusal = await self._intake.outcome(awaited.sequence)
        finding = None if refusal is None else arrival.finding or replace(finding_of(refusal), own=False)
        return self._final(arrival, "AA" if finding is None else "AE", finding), refusal is None

    async def mended(self, awaited: Awaited) -> bytes:
        """Wait until a message that was set aside is applied after all and return its application acknowledgement."""
        await self._intake.mended(awaited.sequence)
        return self._final(awaited.arrival, "AA", None)

    async def _accepted(self, raw: RawMessage, arrival: Arrival, *, silent: bool = False, number: str = "") -> Answer:
        """Have a message stored; `number` is MSA-4."""
        mode, finding = arrival.mode, arrival.finding
        code = code_of(mode, finding, whole=arrival.whole)
        send = arrival.answerable and not silent
        told = finding if code not in ("AA", "CA") else None
        reply = self._built(arrival, code, told, number) if send and wanted(mode.accept, code) else b""
        reuse = self._reuse(arrival, number) if self._rules.strict and finding is None and send else None
        try:
            accept = self._intake.accept
            acceptance = await (
                accept(raw, key=arrival.key, reply=reply, refusal=arrival.refusal)
                if reuse is None
                else accept(raw, key=arrival.key, reply=reply, refusal=arrival.refusal, reuse=reuse)
            )
        except Exception as error:
            if not isinstance(error, HawsepipeError):
                self._report("the intake failed", error)
            return self._unavailable(raw, arrival, silent=silent)
        if silent:
            return Answer(b"", stored=None)
        if acceptance.duplicate:
            self._meters.duplicates.labels(self._name).inc()
            reply = acceptance.reply or reply
        elif acceptance.reused and reuse is not None:
            code, reply = code_of(mode, _REUSED), acceptance.reply
            arrival = replace(arrival, finding=_REUSED, refusal=reuse.refusal)
        return self._answered(arrival, code, reply, acceptance)

    def _answered(self, arrival: Arrival, code: str, reply: bytes, acceptance: Acceptance) -> Answer:
        """Say what is sent now and what later."""
        mode = arrival.mode
        later = None
        if arrival.answerable and mode.enhanced and mode.application != "NE":
            if code == "CA":
                later = Awaited(arrival, acceptance.sequence)
            elif not reply:
                # Nobody has asked for the accept acknowledgement; then the other one says it.
                reply = self._final(arrival, f"A{code[1]}", arrival.finding)
        return Answer(self._sent(code, reply), later)

    async def _in_parts(self, raw: RawMessage, link: continuation.Link, bound: frozenset[str] | None) -> Answer | None:
        """Take a part of a message: one that is not the last is set aside until its rest has come; with the last one
        the message is whole. None for a last one whose other parts are not there: it may be whole by itself.

        A part that comes again is set aside again; they go together.
        """
        waiting = await self._intake.set_aside(self._name, continuation.PLACE) if link.before else ()
        chain = continuation.followed(waiting, link)
        if not link.after and not chain:
            return None
        arrival = arrive(raw, self._rules.door, None, bound, part=True)
        if arrival.finding is not None or not arrival.answerable:
            return await self._accepted(raw, arrival)
        if link.after:
            # What becomes of the message is told to its last part.
            mode = replace(arrival.mode, application="NE")
            return await self._accepted(raw, replace(arrival, mode=mode, refusal=_PART))
        parts = [part for _, part in chain or ()]
        body = continuation.joined([*(part.body for part in parts), raw.body])
        whole = RawMessage(raw.feed, raw.received_at, raw.media_type, body)
        told = arrive(whole, self._rules.door, None, bound)
        answer = await self._accepted(whole, replace(told, header=arrival.header, mode=arrival.mode))
        if answer.stored:
            digests = {part.digest for part in parts}
            gone = [sequence for sequence, part in waiting if part.digest in digests]
            await self._intake.taken_up(gone, self._clock())
        return answer

    async def _in_turn(self, raw: RawMessage, arrival: Arrival, text: str) -> Answer:
        """Take a numbered message in its turn."""
        sequences, header = self._rules.sequences, arrival.header
        assert sequences is not None
        assert header is not None
        number = read_number(text)
        if number is None:
            refusal = Refusal(_NO_NUMBER.cause, _NO_NUMBER.location, _NO_NUMBER.reason)
            return await self._accepted(raw, replace(arrival, finding=finding_of(_NO_NUMBER), refusal=refusal))
        link = f"{sender_of(header)}|{header.word(5, 1)}|{header.word(6, 1)}"
        async with sequences.lock(link):
            before = sequences.standing(link)
            here = place(number, before)
            if here is Place.GAP:
                self._count("sequence_gap")
                code = code_of(arrival.mode, None, unavailable=True)
                return self._told(arrival, code, _GAP, expected(before), stored=False)
            if here is Place.REPEAT:
                self._count("sequence_repeat")
                return self._told(arrival, code_of(arrival.mode, None), None, expected(before))
            after: Standing | None
            if here is Place.START:
                after = before if sequences.known(link) else Standing(0, good=True)
            else:
                after = None if here is Place.ANEW else Standing(number, arrival.finding is None)
            try:
                if here in (Place.START, Place.ANEW) and not header.word(9, 1):
                    # A message without content, only there to say where the link stands.
                    answer = self._told(arrival, code_of(arrival.mode, None), None, expected(after))
                else:
                    answer = await self._accepted(raw, arrival, number=expected(after))
                if answer.stored:
                    await sequences.store(link, after)
            except OSError as error:
                self._report("a sequence number could not be stored", error)
                return self._unavailable(raw, arrival)
            return answer

    def _told(
        self, arrival: Arrival, code: str, finding: Finding | None, number: str, *, stored: bool = True
    ) -> Answer:
        """Answer a message that is not stored."""
        send = wanted(arrival.mode.accept, code)
        reply = self._built(arrival, code, finding, number) if send else b""
        return Answer(self._sent(code, reply), stored=stored)

    def _reuse(self, arrival: Arrival, number: str) -> Reuse:
        code = code_of(arrival.mode, _REUSED)
        told = None if code == "CA" else _REUSED
        reply = self._built(arrival, code, told, number) if wanted(arrival.mode.accept, code) else b""
        return Reuse(reply, Refusal("structure", _REUSED.location, _REUSED.text))

    def _built(self, arrival: Arrival, code: str, finding: Finding | None, number: str = "") -> bytes:
        return build(arrival.header, code, finding, arrival.raw.received_at, arrival.raw.digest, expected=number)

    def _final(self, arrival: Arrival, code: str, finding: Finding | None) -> bytes:
        if not wanted(arrival.mode.application, code):
            return b""
        self._meters.acknowledged.labels(self._name, code).inc()
        return build(arrival.header, code, finding, self._clock(), arrival.raw.digest, final=True)

    def _unavailable(self, raw: RawMessage, arrival: Arrival, *, silent: bool = False) -> Answer:
        """Answer a message that was not stored."""
        if silent:
            return Answer(b"", stored=None)
        try:
            code = code_of(arrival.mode, None, unavailable=True)
            reply: bytes | None = b""
            if arrival.answerable and wanted(arrival.mode.accept, code):
                reply = self._built(arrival, code, UNAVAILABLE)
        except Exception as error:
            self._report("an acknowledgement could not be built", error)
            code, reply = self._least(raw, unavailable=True)
        return Answer(self._sent(code, reply), stored=False)

    def _least(self, raw: RawMessage, *, unavailable: bool) -> tuple[str, bytes | None]:
        try:
            return minimal(raw.body, raw.received_at, raw.digest, unavailable=unavailable)
        except Exception as error:
            self._report("no acknowledgement could be built", error)
            return "", None

    def _sent(self, code: str, reply: bytes | None) -> bytes | None:
        if reply:
            self._meters.acknowledged.labels(self._name, code).inc()
        return reply

    def _report(self, text: str, error: Exception) -> None:
        """Log a fault of ours by its class and place: its words may hold patient data."""
        frames = traceback.extract_tb(error.__traceback__)
        spot = f"{frames[-1].name}:{frames[-1].lineno}" if frames else ""
        _log.error(text, feed=self._name, error=type(error).__name__, trace=spot)

    def _count(self, event: str) -> None:
        self._meters.framing.labels(self._name, event).inc()
