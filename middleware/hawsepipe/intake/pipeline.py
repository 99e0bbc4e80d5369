"""Applies journalled messages in the order of the journal.

The journal is the queue: whatever is in state RECEIVED has still to be applied, also after a restart. Messages are
translated in batches; each is committed on its own (effect, Provenance, outbox and journal state together), a batch
shares one fsync. What cannot be applied becomes a dead letter; what the store cannot take now is tried again.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence

import structlog

from hawsepipe.clock import Clock
from hawsepipe.errors import HawsepipeError, InvalidResource, MessageError, StoreError
from hawsepipe.fhir import provenance
from hawsepipe.hooks import Refusal, Translator
from hawsepipe.meters import Meters
from hawsepipe.model import Severity, Transaction, Translation
from hawsepipe.store.contract import Application, JournalRecord, Store

_log = structlog.get_logger("hawsepipe.intake")
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hawsepipe:provenance")
_READ = 64
"""Messages that are read from the journal at once."""

_QUIET = 32
"""Messages that are applied in one commit while nothing arrives: the more, the cheaper each is."""

_BUSY = 2
"""The same while messages arrive: an acknowledgement waits for no more than these."""


class Pipeline:
    """One pipeline per store. `translators` maps a feed's name to the translator of its messages."""

    def __init__(
        self,
        store: Store,
        translators: Mapping[str, Translator],
        clock: Clock,
        meters: Meters,
        committed: Callable[[], None],
        *,
        pause: float = 0.5,
    ) -> None:
        """`committed` is called after each batch; `pause` is the wait, in seconds, after the store could not write."""
        self._pause = pause
        self._store = store
        self._translators = translators
        self._clock = clock
        self._meters = meters
        self._committed = committed
        self._arrivals = 0
        self._awake = asyncio.Event()
        self._idle = asyncio.Event()

    def wake(self) -> None:
        """Say that there is something new in the journal."""
        self._arrivals += 1
        self._idle.clear()
        self._awake.set()

    async def settled(self) -> None:
        """Return when everything that was journalled before this call is applied or set aside."""
        await self._idle.wait()

    async def run(self) -> None:
        """Apply messages until cancelled."""
        after = 0
        while True:
            self._awake.clear()
            try:
                last = await self.step(after)
            except HawsepipeError as error:
                # Nothing is lost: what was not applied is in the journal still, and is tried again.
                _log.error("the store does not take the effects", error=type(error).__name__)
                await asyncio.sleep(self._pause)
                continue
            if last is None:
                if not self._awake.is_set():
                    self._idle.set()
                await self._awake.wait()
            else:
                after = last

    async def drain(self) -> None:
        """Apply everything that is in the journal now."""
        after: int | None = 0
        while after is not None:
            after = await self.step(after)

    async def step(self, after: int) -> int | None:
        """Apply messages above `after`; return the last sequence handled, None when there was none."""
        records = await self._store.received(after, _READ)
        if not records:
            self._meters.backlog.set(0)
            return None
        start, seen = 0, self._arrivals
        part = records[:_BUSY]
        translated = await asyncio.to_thread(self._applications, part)
        while part:
            start += len(part)
            size = _QUIET if self._arrivals == seen else _BUSY
            seen = self._arrivals
            following = records[start : start + size]
            # The next ones are translated while the store writes these.
            ahead = asyncio.create_task(asyncio.to_thread(self._applications, following))
            try:
                await self._apply(part, translated)
            finally:
                translated = await ahead
            part = following
        self._meters.backlog.set(await self._store.backlog())
        return records[-1].sequence

    async def _apply(self, records: Sequence[JournalRecord], applications: Sequence[Application]) -> None:
        outcomes = await self._store.apply(applications)
        refused: list[Application] = []
        for application, outcome in zip(applications, outcomes, strict=True):
            if isinstance(outcome, StoreError):
                raise outcome
            if isinstance(outcome, HawsepipeError):
                refused.append(
                    Application(application.sequence, application.label, None, _refusal(outcome, application))
                )
        if refused:
            for outcome in await self._store.apply(refused):
                if isinstance(outcome, HawsepipeError):
                    raise outcome
        self._count(records, [*applications, *refused])
        self._committed()

    def _applications(self, records: Sequence[JournalRecord]) -> list[Application]:
        return [self.application(record) for record in records]

    def application(self, record: JournalRecord) -> Application:
        """Translate one journalled message; a message that cannot be translated is refused."""
        message = record.message
        translator = self._translators.get(message.feed)
        if translator is None:
            return Application(
                record.sequence, "", None, Refusal("structure", "", f"no feed is called {message.feed} any more")
            )
        try:
            translation = translator.translate(message)
        except MessageError as error:
            return Application(record.sequence, "", None, Refusal(error.cause, error.location, error.reason))
        except Exception as error:
            # The seam to a stranger's code: its words may hold patient data, its class does not.
            _log.exception("the translator failed", feed=message.feed, sequence=record.sequence)
            return Application(
                record.sequence, "", None, Refusal("mapping", "", f"the translator failed ({type(error).__name__})")
            )
        self._report(record, translation)
        if not translation.changes:
            return Application(record.sequence, translation.label, None, _no_effect(translation))
        identity = str(uuid.uuid5(_NAMESPACE, f"{record.sequence}|{message.digest.hex()}"))
        return Application(
            record.sequence,
            translation.label,
            Transaction(
                changes=translation.changes,
                provenance=provenance.draft(
                    f"feed:{message.feed}",
                    id=identity,
                    source=message.digest,
                    label=translation.label,
                    rules=translator.rules_digest,
                    event_time=translation.event_time,
                ),
                actor=f"feed:{message.feed}",
                instant=self._clock(),
                source=message.digest,
                rules=translator.rules_digest,
                trail=translation.trail,
            ),
        )

    def _report(self, record: JournalRecord, translation: Translation) -> None:
        """Count what the translator reported and log the places of warnings; the words stay with `translate`."""
        feed = record.message.feed
        for issue in translation.issues:
            self._meters.findings.labels(feed, issue.cause, issue.severity.value).inc()
            if issue.severity is not Severity.INFORMATION:
                _log.warning("finding", feed=feed, sequence=record.sequence, cause=issue.cause, location=issue.location)

    def _count(self, records: Sequence[JournalRecord], applications: Sequence[Application]) -> None:
        feeds = {record.sequence: record.message.feed for record in records}
        refusals = {entry.sequence: entry.refusal for entry in applications}
        for sequence, refusal in refusals.items():
            feed = feeds[sequence]
            if refusal is None:
                self._meters.applied.labels(feed).inc()
            else:
                self._meters.dead_letters.labels(feed, refusal.cause).inc()
                _log.warning(
                    "dead letter", feed=feed, sequence=sequence, cause=refusal.cause, location=refusal.location
                )


def _no_effect(translation: Translation) -> Refusal | None:
    """A message without effect is a dead letter if an error is the reason, and settled if there was nothing to do."""
    errors = [issue for issue in translation.issues if issue.severity in (Severity.ERROR, Severity.FATAL)]
    return Refusal(errors[0].cause, errors[0].location, errors[0].text) if errors else None


def _refusal(error: HawsepipeError, application: Application) -> Refusal:
    if isinstance(error, InvalidResource):
        first = error.issues[0]
        return Refusal("mapping", first.location, f"the result breaks R4: {first.text}")
    return Refusal("delivery", "", f"{type(error).__name__}: the {len(_changes(application))} changes were not taken")


def _changes(application: Application) -> tuple[object, ...]:
    return application.transaction.changes if application.transaction else ()
