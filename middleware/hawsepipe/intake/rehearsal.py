"""What a message would do if it were applied now: the resources before and after, and nothing is written.

The store drafts it as it would when it applies it: it meets the same people, gives way to newer events, and refuses
what it would refuse. Version numbers and instants are not part of a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from hawsepipe.errors import HawsepipeError, IdentityConflict, InvalidResource, MessageError, StoreError
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.hooks import Refusal, Translator
from hawsepipe.model import Issue, Operation, RawMessage, Resource, Transaction
from hawsepipe.store.contract import Store


@dataclass(frozen=True, slots=True)
class Outcome:
    """One resource now and after; `operation` None when it would stay as it is. Both without `meta`."""

    type: str
    id: str
    operation: Operation | None
    before: Resource | None
    after: Resource | None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What would come of a message: its outcomes in the order of its changes, or the refusal. `door` is what the door
    of its feed has against it.
    """

    label: str
    refusal: Refusal | None
    issues: tuple[Issue, ...]
    outcomes: tuple[Outcome, ...]
    door: Refusal | None = None


async def rehearse(
    message: RawMessage,
    translators: Mapping[str, Translator],
    store: Store,
    instant: datetime,
    *,
    forced: bool = False,
) -> Rehearsal:
    """Translate the message and let the store say what it would do. `translators` maps a feed's name to its one;
    `forced`: as if nothing newer were known. Raises StoreError.
    """
    translator = translators.get(message.feed)
    if translator is None:
        return _refused(Refusal("structure", "", f"no feed is called {message.feed} any more"))
    try:
        translation = translator.translate(message)
    except MessageError as error:
        return _refused(Refusal(error.cause, error.location, error.reason))
    except Exception as error:
        # A stranger's code: its words may hold patient data, its class does not.
        return _refused(Refusal("mapping", "", f"the translator failed ({type(error).__name__})"))
    transaction = Transaction(
        translation.changes,
        None,
        f"feed:{message.feed}",
        instant,
        message.digest,
        event_time=None if forced else translation.event_time,
    )
    try:
        found = await store.rehearse(transaction)
    except StoreError:
        raise
    except HawsepipeError as error:
        return replace(_refused(refusal_of(error, len(translation.changes))), label=translation.label)
    outcomes = tuple(_outcome(one.type, one.id, _bare(one.before), _bare(one.after)) for one in found)
    return Rehearsal(translation.label, None, translation.issues, outcomes)


def refusal_of(error: HawsepipeError, changes: int, place: str = "") -> Refusal:
    """Return why the store does not take so many changes; `place` is where in the message the person is named."""
    if isinstance(error, InvalidResource):
        first = error.issues[0]
        return Refusal("mapping", first.location, f"the result breaks R4: {first.text}")
    if isinstance(error, IdentityConflict):
        return Refusal("identity", place, str(error))
    return Refusal("delivery", "", f"{type(error).__name__}: the {changes} changes were not taken")


def _refused(refusal: Refusal) -> Rehearsal:
    return Rehearsal("", refusal, (), ())


def _bare(content: bytes | None) -> Resource | None:
    return None if content is None else {key: value for key, value in decode(content).items() if key != "meta"}


def _outcome(type: str, id: str, before: Resource | None, after: Resource | None) -> Outcome:
    operation = None
    if after is None:
        operation = Operation.DELETE if before is not None else None
    elif before is None:
        operation = Operation.CREATE
    elif encode(before) != encode(after):
        operation = Operation.UPDATE
    return Outcome(type, id, operation, before, after)
