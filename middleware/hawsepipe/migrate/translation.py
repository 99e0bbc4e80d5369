"""From records to transactions: the one function of a load that costs time. Pure, so any process may do it.

A record becomes what its translator makes of it, under ids made of source, type and id, with the load's tag; and a
Provenance of its own that names the record where it came from and the digest of its bytes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, NamedTuple

from hawsepipe.contents.taking import Taking
from hawsepipe.errors import HawsepipeError, InvalidResource, MessageError
from hawsepipe.fhir import codec, provenance
from hawsepipe.fhir.merge import leaves
from hawsepipe.hooks import Translator
from hawsepipe.migrate.records import FHIR
from hawsepipe.model import Change, Method, RawMessage, Resource, Severity, Transaction, Translation
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.prepared import PreparedTransaction

HISTORICAL: Final = {"system": "urn:hawsepipe:activity", "code": "historical-load", "display": "historical load"}
"""The activity of each Provenance of a load."""

SOURCE: Final = "urn:hawsepipe:source:"
"""The beginning of the system of an entity that names a record in its source; the name of the source follows."""

TOLD_SOURCE: Final = "urn:hawsepipe:extension:told-source"
"""The extension of `meta` with the `meta.source` that the record came with."""

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:hawsepipe:load:provenance")
_REFERENCE: Final = re.compile(rb'"reference"\s*:\s*"((?:urn:|https?://|[A-Z][A-Za-z]+\?)[^"\\]{1,2000})"')
_MICROSECOND: Final = timedelta(microseconds=1)


class Task(NamedTuple):
    """A record to be translated. `place` is `type/id/_history/version` of a FHIR record; `addresses` are what the
    references in it stand for; `bundled`: it is the entry of a Bundle.
    """

    source: str
    form: str
    body: bytes
    type: str
    id: str
    version: str
    addresses: Mapping[str, str]
    bundled: bool

    @property
    def place(self) -> str:
        """What the record is called in its source."""
        if self.form != FHIR:
            return f"message/{self.id}" if self.id else "message"
        return f"{self.type}/{self.id}" + (f"/_history/{self.version}" if self.version else "")


class Dead(NamedTuple):
    """Why a record cannot be loaded. No patient data."""

    cause: str
    location: str
    text: str


class Job(NamedTuple):
    """The records of a chunk, the load that they are of, and the instant of the first of them."""

    load: str
    instant: datetime
    tasks: Sequence[Task]


Result = PreparedTransaction | Dead | None
"""None: there is nothing to be done for a record."""

TranslatorOf = Callable[[str, str], Translator]
"""Gives the translator for a source (by name) and a form."""


class Translating:
    """Translates the records of chunks."""

    def __init__(self, translator: TranslatorOf, preparation: Preparation, taking: Taking | None = None) -> None:
        """`taking` keeps large content beside the store; without it resources hold all of it."""
        self._taking = taking
        self._translator = translator
        self._preparation = preparation

    def results(self, job: Job) -> list[Result]:
        """Return what each record becomes. Never raises for what is in a record."""
        return [self._result(job, number, task) for number, task in enumerate(job.tasks)]

    def _result(self, job: Job, number: int, task: Task) -> Result:
        try:
            translator = self._translator(task.source, task.form)
            translation = translator.translate(message(job, task))
            if not translation.changes:
                return _nothing(translation)
            if self._taking is not None and self._taking.concerns(task.body):
                translation = replace(
                    translation, changes=tuple(_taken(it, self._taking) for it in translation.changes)
                )
            made = transaction(job, task, translation, translator.rules_digest, job.instant + number * _MICROSECOND)
            prepared = self._preparation.transaction(made)
        except MessageError as error:
            return Dead(error.cause, error.location, error.reason)
        except HawsepipeError as error:
            return dead(error)
        except Exception as error:
            # Of a shape that nobody foresaw: its words may hold patient data, its class does not.
            return Dead("mapping", "", f"the record cannot be translated ({type(error).__name__})")
        # Each source's record of a person is kept; whether two are one is for linkage to say. A message of HL7 v2 is
        # no record of its own: it speaks of whom its numbers name.
        return prepared._replace(named=()) if task.form == FHIR else prepared


def message(job: Job, task: Task) -> RawMessage:
    """Return a record as its translator takes it, its references resolved as far as its source tells."""
    if task.form != FHIR:
        return RawMessage(job.load, job.instant, "application/hl7-v2", task.body)

    def resolved(match: re.Match[bytes]) -> bytes:
        place = task.addresses.get(match[1].decode("utf-8", "replace"))
        return match[0] if place is None else b'"reference":"' + place.encode() + b'"'

    body = _REFERENCE.sub(resolved, task.body) if task.addresses else task.body
    if task.bundled:
        body = b'{"resourceType":"Bundle","type":"history","entry":[' + _named(body, task) + b"]}"
    return RawMessage(job.load, job.instant, "application/fhir+json", body)


def addresses(body: bytes) -> set[str]:
    """Return the references of a record that lead to an address rather than to a type and id."""
    return {found.decode("utf-8", "replace") for found in _REFERENCE.findall(body)}


def _named(body: bytes, task: Task) -> bytes:
    """Return an entry whose resource has the id that its address gives it, if it has none of its own."""
    if not task.id or b'"%b"' % task.id.encode() in body:
        return body
    try:
        entry = codec.decode(body)
    except HawsepipeError:
        return body  # the translator finds the same and says so
    resource = entry.get("resource")
    if not isinstance(resource, dict) or "id" in resource:
        return body
    return codec.encode(entry | {"resource": {**resource, "id": task.id}})


def transaction(job: Job, task: Task, translation: Translation, rules: bytes, instant: datetime) -> Transaction:
    """Return what a record does: its changes with the load's tag, its Provenance."""
    digest = sha256(task.body).digest()
    actor = f"feed:{task.source}"
    words, trail = provenance.parted(translation.trail, "Provenance")
    draft = provenance.draft(
        actor,
        id=proof_id(task.source, task.place, digest),
        source=digest,
        label=translation.label,
        rules=rules,
        event_time=translation.event_time,
        told=translation.provenance,
        trail=provenance.lines(words).get("Provenance"),
    )
    draft["activity"] = {"coding": [*draft["activity"]["coding"], HISTORICAL]}
    named = {"identifier": {"system": SOURCE + task.source, "value": task.place}}
    draft["entity"] = [*draft.get("entity", ()), {"role": "source", "what": named}]
    draft["meta"] = {"tag": [{"system": provenance.LOAD, "code": job.load}]}
    return Transaction(
        changes=tuple(tagged(change, job.load, task.source) for change in translation.changes),
        provenance=draft,
        actor=actor,
        instant=instant,
        source=digest,
        rules=rules,
        trail=trail,
        event_time=translation.event_time,
    )


def proof_id(source: str, place: str, digest: bytes) -> str:
    """Return the id of the Provenance of a record: the same record has the same one in every load."""
    return str(uuid.uuid5(_NAMESPACE, f"{source}|{place}|{digest.hex()}"))


def tagged(change: Change, load: str, source: str) -> Change:
    """Return a change whose resource tells which load brought it; a merge tells it only of what it makes."""
    if change.resource is None:
        return change
    held: Any = change.resource.get("meta")
    meta: Resource = dict(held) if isinstance(held, dict) else {}
    told = meta.get("source")
    if isinstance(told, str):
        meta["extension"] = [*meta.get("extension", ()), {"url": TOLD_SOURCE, "valueUri": told}]
    meta["source"] = f"{provenance.LOAD}:{load}#{source}"
    tags = [tag for tag in meta.get("tag", ()) if not (isinstance(tag, dict) and tag.get("system") == provenance.LOAD)]
    meta["tag"] = [*tags, {"system": provenance.LOAD, "code": load}]
    head: Resource = {"resourceType": change.resource.get("resourceType", change.type), "id": change.id, "meta": meta}
    resource = head | {key: value for key, value in change.resource.items() if key not in head}
    if change.method is not Method.MERGE:
        return replace(change, resource=resource)
    keep = change.keep | {"meta"}
    return replace(
        change, resource=resource, keep=keep, union=change.union if leaves(change) else change.union | {"meta"}
    )


def _taken(change: Change, taking: Taking) -> Change:
    if change.resource is None:
        return change
    return replace(change, resource=taking.taken(change.resource, f"{change.type}/{change.id}"))


def dead(error: HawsepipeError) -> Dead:
    """Return why the store does not take a record."""
    if isinstance(error, InvalidResource) and error.issues:
        issue = error.issues[0]
        return Dead("structure", issue.location, issue.text)
    return Dead("delivery", "", f"{type(error).__name__}: {error}"[:300])


def _nothing(translation: Translation) -> Dead | None:
    for issue in translation.issues:
        if issue.severity in (Severity.ERROR, Severity.FATAL):
            return Dead(issue.cause, issue.location, issue.text)
    return None
