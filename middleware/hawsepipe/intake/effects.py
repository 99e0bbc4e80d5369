"""From one journalled message to the effect that it is to have: translated and prepared. Pure but for the log.

Tasks and effects are values of bytes, texts and numbers, so that either may cross to another process.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog

from hawsepipe.contents.taking import Taking
from hawsepipe.errors import HawsepipeError, MessageError
from hawsepipe.fhir import provenance
from hawsepipe.fhir.identity import Named, named
from hawsepipe.hooks import Refusal, Translator
from hawsepipe.model import RawMessage, Severity, Transaction, Translation
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.prepared import PreparedTransaction

_log = structlog.get_logger("hawsepipe.intake")
_WORDS = "Provenance"
"""The resource of a trail's lines about the sender's words."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hawsepipe:provenance")


class Task(NamedTuple):
    """A journalled message by its number, and the instant of its effect."""

    sequence: int
    instant: datetime
    message: RawMessage


class Finding(NamedTuple):
    """What a translator reported: cause, severity and v2 location of an Issue. The words stay with `translate`."""

    cause: str
    severity: Severity
    location: str


class Effect(NamedTuple):
    """What a message is to do: a transaction, or nothing; with a refusal it becomes a dead letter instead.

    `named` are those whom a refused message names, as far as it could be read.
    """

    label: str
    transaction: PreparedTransaction | None
    refusal: Refusal | None = None
    findings: tuple[Finding, ...] = ()
    named: tuple[Named, ...] = ()


class Refused(NamedTuple):
    """A message that cannot be translated, and whom it names."""

    refusal: Refusal
    named: tuple[Named, ...] = ()


class Desk(Protocol):
    """Where effects are worked out. `width` is how many parts it can have in hand at once."""

    @property
    def width(self) -> int:
        """How many calls of `effects` are worth making before the first has returned."""
        ...

    async def effects(self, tasks: Sequence[Task]) -> list[Effect]:
        """Return the effect of each message, in order. Never raises for what is in a message."""
        ...


class Effects:
    """Works out effects. `translators` maps a feed's name to the translator of its messages.

    It is a desk as well: one beside the event loop, in a thread of this process.
    """

    width = 2

    def __init__(
        self, translators: Mapping[str, Translator], preparation: Preparation, taking: Taking | None = None
    ) -> None:
        """`taking` keeps large content beside the store; without it resources hold all of it."""
        self._taking = taking
        self._translators = translators
        self._preparation = preparation
        self._turn = threading.Lock()

    async def effects(self, tasks: Sequence[Task]) -> list[Effect]:
        """See `Desk.effects`."""
        return await asyncio.to_thread(self.all, tasks)

    def all(self, tasks: Sequence[Task]) -> list[Effect]:
        """Return the effect of each message; all are translated before any is prepared, each code while it is warm.

        Threads take turns: neither translators nor preparation are asked by two at a time.
        """
        with self._turn:
            translated = [self._translated(task) for task in tasks]
            return [self._prepared(task, found) for task, found in zip(tasks, translated, strict=True)]

    def _translated(self, task: Task) -> tuple[Translation, bytes] | Refused:
        """Translate one message by rules with this digest; one that cannot be translated is refused."""
        message = task.message
        translator = self._translators.get(message.feed)
        if translator is None:
            return Refused(Refusal("structure", "", f"no feed is called {message.feed} any more"))
        try:
            return translator.translate(message), translator.rules_digest
        except MessageError as error:
            return Refused(Refusal(error.cause, error.location, error.reason), named(error.changes))
        except Exception as error:
            # The seam to a stranger's code: its words may hold patient data, its class does not.
            _log.exception("the translator failed", feed=message.feed, sequence=task.sequence)
            return Refused(Refusal("mapping", "", f"the translator failed ({type(error).__name__})"))

    def _prepared(self, task: Task, translated: tuple[Translation, bytes] | Refused) -> Effect:
        if isinstance(translated, Refused):
            return Effect("", None, translated.refusal, (), translated.named)
        translation, rules = translated
        findings = tuple(Finding(issue.cause, issue.severity, issue.location) for issue in translation.issues)
        if not translation.changes:
            return Effect(translation.label, None, _no_effect(translation), findings)
        try:
            translation = self._without_contents(task.message, translation)
            transaction = self._preparation.transaction(_transaction(task, translation, rules))
        except HawsepipeError as error:
            reason = f"{type(error).__name__}: the {len(translation.changes)} changes were not taken"
            return Effect(
                translation.label, None, Refusal("delivery", "", reason), findings, named(translation.changes)
            )
        except Exception as error:
            # Changes of a shape that nobody foresaw must not end the pipeline: they would do so at each start.
            _log.exception("the changes cannot be prepared", feed=task.message.feed, sequence=task.sequence)
            reason = f"the changes cannot be prepared ({type(error).__name__})"
            return Effect(translation.label, None, Refusal("mapping", "", reason), findings, named(translation.changes))
        return Effect(translation.label, transaction, None, findings)

    def _without_contents(self, message: RawMessage, translation: Translation) -> Translation:
        """Return the translation with its large contents kept beside the store."""
        taking = self._taking
        if taking is None or not taking.concerns(message.body):
            return translation
        changes = [
            change
            if change.resource is None
            else replace(change, resource=taking.taken(change.resource, f"{change.type}/{change.id}"))
            for change in translation.changes
        ]
        return replace(translation, changes=tuple(changes))


def _transaction(task: Task, translation: Translation, rules: bytes) -> Transaction:
    message = task.message
    actor = f"feed:{message.feed}"
    words, trail = provenance.parted(translation.trail, _WORDS)
    return Transaction(
        changes=translation.changes,
        provenance=provenance.draft(
            actor,
            id=str(uuid.uuid5(_NAMESPACE, f"{task.sequence}|{message.digest.hex()}")),
            source=message.digest,
            label=translation.label,
            rules=rules,
            event_time=translation.event_time,
            told=translation.provenance,
            trail=provenance.lines(words).get(_WORDS),
        ),
        actor=actor,
        instant=task.instant,
        source=message.digest,
        rules=rules,
        trail=trail,
        event_time=translation.event_time,
    )


def _no_effect(translation: Translation) -> Refusal | None:
    """A message without effect is a dead letter if an error is the reason, and settled if there was nothing to do."""
    errors = [issue for issue in translation.issues if issue.severity in (Severity.ERROR, Severity.FATAL)]
    return Refusal(errors[0].cause, errors[0].location, errors[0].text) if errors else None
