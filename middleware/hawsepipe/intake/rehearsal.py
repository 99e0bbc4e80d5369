"""What a message would do if it were applied now: the resources before and after, and nothing is written.

Labels, version numbers and instants are the store's to give; they are not part of a rehearsal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hawsepipe.errors import MessageError
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.merge import merged
from hawsepipe.hooks import Refusal, Translator
from hawsepipe.model import Change, Issue, Method, Operation, RawMessage, Resource
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
    """What would come of a message: its outcomes in the order of its changes, or the refusal."""

    label: str
    refusal: Refusal | None
    issues: tuple[Issue, ...]
    outcomes: tuple[Outcome, ...]


async def rehearse(message: RawMessage, translators: Mapping[str, Translator], store: Store) -> Rehearsal:
    """Translate the message and lay its changes over what is stored. `translators` maps a feed's name to its one."""
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
    now: dict[tuple[str, str], Resource | None] = {}
    after: dict[tuple[str, str], Resource | None] = {}
    for change in translation.changes:
        key = (change.type, change.id)
        if key not in now:
            now[key] = after[key] = await _stored(store, *key)
        after[key] = _changed(after[key], change)
    outcomes = tuple(_outcome(*key, now[key], after[key]) for key in now)
    return Rehearsal(translation.label, None, translation.issues, outcomes)


def _refused(refusal: Refusal) -> Rehearsal:
    return Rehearsal("", refusal, (), ())


async def _stored(store: Store, type: str, id: str) -> Resource | None:
    version = await store.read(type, id)
    if version is None or version.content is None:
        return None
    return _bare(decode(version.content))


def _changed(stored: Resource | None, change: Change) -> Resource | None:
    if change.method is Method.DELETE:
        return None
    # Through bytes, as the store has it: what prints alike is alike.
    return _bare(decode(encode(merged(stored, change))))


def _bare(resource: Resource) -> Resource:
    return {key: value for key, value in resource.items() if key != "meta"}


def _outcome(type: str, id: str, before: Resource | None, after: Resource | None) -> Outcome:
    operation = None
    if after is None:
        operation = Operation.DELETE if before is not None else None
    elif before is None:
        operation = Operation.CREATE
    elif encode(before) != encode(after):
        operation = Operation.UPDATE
    return Outcome(type, id, operation, before, after)
