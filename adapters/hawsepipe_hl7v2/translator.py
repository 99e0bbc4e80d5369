"""The translator kind `hl7v2`: one v2 message to changes of R4 resources, purely.

Same bytes and same settings give the same result: ids come from business identifiers; there is no clock, and no I/O
after opening.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hawsepipe import (
    Change,
    ConfigError,
    Issue,
    MessageError,
    RawMessage,
    Severity,
    Trails,
    Translation,
)
from hawsepipe_hl7v2 import damage, origin, responses
from hawsepipe_hl7v2.bench import Bench, Event, Site
from hawsepipe_hl7v2.charsets import mislabelling
from hawsepipe_hl7v2.codings import Codings
from hawsepipe_hl7v2.compiler import Compiler
from hawsepipe_hl7v2.content import wrong_values
from hawsepipe_hl7v2.envelope import classify, focus
from hawsepipe_hl7v2.message import Message
from hawsepipe_hl7v2.mllp import MEDIA_TYPE
from hawsepipe_hl7v2.naming import Naming
from hawsepipe_hl7v2.plan import complete, run
from hawsepipe_hl7v2.primitives import UNSURE
from hawsepipe_hl7v2.requirements import missing, strangers
from hawsepipe_hl7v2.settings import TRANSLATOR_SCHEMA, filled, patterns
from hawsepipe_hl7v2.structure import Structure
from hawsepipe_hl7v2.tables import Tables, shipped, unnamed
from hawsepipe_hl7v2.times import point


class Hl7v2Translator:
    """The compiled tables with one set of settings. Raises ConfigError when a setting or a table is wrong."""

    def __init__(self, settings: Mapping[str, Any], tables: Tables | None = None) -> None:
        settings = filled(TRANSLATOR_SCHEMA, settings)
        tables = tables or shipped()
        compiler = Compiler(tables.datatypes, tables.codes)
        self._plans = {name: compiler.segment(table) for name, table in tables.segments.items()}
        naming = Naming(settings["systems"], tables.coding_systems)
        self._site = Site(
            naming=naming,
            codings=Codings(naming, tables.codes),
            zone=_zone(settings.get("timezone")),
            patient_identity=tuple(settings["patient_identity"]),
            codes=tables.codes,
            converts=compiler.fills,
        )
        self._structures = {
            (type_, name): Structure.of(structure)
            for type_, table in tables.messages.items()
            for name, structure in table["structures"].items()
        }
        self._messages = tables.messages
        self._unmapped = patterns(settings["unmapped_events"])
        self._charset: str = settings["charset"]
        self._original: bool = settings["original"] == "document"
        self._strict: bool = settings["values"] == "strict"
        told = json.dumps(settings, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        self._digest = sha256(sha256(tables.canonical()).digest() + told).digest()

    @property
    def media_types(self) -> frozenset[str]:
        """`application/hl7-v2`."""
        return frozenset({MEDIA_TYPE})

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over the mapping tables and the settings."""
        return self._digest

    def translate(self, message: RawMessage) -> Translation:
        """Translate one message for the record. Raises MessageError, and nothing else.

        What `read` finds at error level (no patient identifier, an event without a map) refuses the whole message.
        """
        translation = self.read(message)
        for issue in translation.issues:
            if issue.severity is Severity.ERROR:
                raise MessageError(issue.cause, issue.location, issue.text, translation.changes)
        if not any(_tells(change) for change in translation.changes):
            raise MessageError("mapping", "MSH-9", _NOTHING)
        return translation

    def read(self, message: RawMessage) -> Translation:
        """Translate one message as far as it goes; what stands against using it is an issue at error level.

        Raises MessageError only for what does not begin with an MSH segment.
        """
        parsed, faults = damage.read(message.body, self._charset, message.media_type)
        try:
            return self._translate(parsed, message, faults)
        except Exception as error:
            # A fault of ours must stay with this message: the host sets it aside and goes on.
            faults.append(Issue(Severity.ERROR, "mapping", "", f"the translator failed ({type(error).__name__})"))
            return Translation((), tuple(faults), (), _label(parsed))

    def _translate(self, message: Message, raw: RawMessage, faults: Sequence[Issue]) -> Translation:
        event = self._event(message.type, message.event)
        bench = Bench(message, self._site, event)
        bench.issues += faults
        if not event.mapped and self._allowed(event):
            bench.warn("mapping", "MSH-9", "this event has no map of its own; its segments are translated one by one")
        elif not event.mapped and not message.segments[0].text(9):
            bench.issue(
                Severity.ERROR, "required", "MSH-9", "MSH-9 is empty: nothing says what kind of message this is"
            )
        elif not event.mapped:
            # A move, a link or a deletion taken for an update of the patient would be worse than none.
            bench.issue(
                Severity.ERROR, "mapping", "MSH-9", "the event has no map, and the settings do not allow it without one"
            )
        if message.contradicted:
            bench.warn("parse", "MSH-18", "the character set that came with the message went before this one")
        if message.mislabelled:
            bench.warn("parse", "MSH-18", mislabelling(declared=bool(message.segments[0].text(18))))
        for location in message.cut_off():
            bench.warn("parse", location, "a value was cut off by its sender")
        for location in message.unresolved():
            bench.warn("parse", location, "an escape sequence is not known or has no end; it was kept as it is")
        for location, text in message.unseen():
            bench.warn("parse", location, text)
        if not message.segments[0].text(10):
            bench.warn("required", "MSH-10", "there is no control id: a feed refuses such a message")
        for issue in missing(message):
            bench.issue(issue.severity, issue.cause, issue.location, issue.text)
        for location, text in wrong_values(message) if self._strict else ():
            bench.issue(Severity.ERROR, "code", location, text)
        structure = self._structures.get((message.type, event.structure)) or self._structures["ADT", ""]
        placed, late = structure.place(message, bench.group)
        for segment in late:
            bench.warn("structure", segment.label, "the segment is out of order")
        sent: tuple[tuple[str, str], ...] = ()
        others = {one.label for one in strangers(message)}
        for one in placed:
            known = bench.group.role("patient") if one.segment.label in others else None
            try:
                run(self._plans.get(one.segment.name), one, bench)
                if known is not None:
                    # What comes behind stays with the first patient; the message is refused for it.
                    one.group.roles["patient"] = known
            except Exception as error:
                # A fault of ours in one segment: the others are read all the same.
                fault = f"the translator failed on this segment ({type(error).__name__})"
                bench.issue(Severity.ERROR, "mapping", one.segment.label, fault)
            sent = sent or tuple(bench.drafts)
        complete(bench)
        if bench.unsure:
            bench.warn("parse", "MSH-7", UNSURE)
        for key in sent:
            # Who sent and received the message comes after what it tells.
            bench.drafts[key] = bench.drafts.pop(key)
        header, told = origin.detached(bench)
        origin.aim(bench)
        focus(bench, header, self._messages.get(message.type, {}).get("focus", _FOCUS))
        origin.finish(bench, header, told)
        classify(bench, header)
        responses.complete(header)
        if self._original:
            origin.original(bench, raw, told)
        noted = [(draft.url, draft.trail) for draft in (*bench.drafts.values(), header)]
        noted.append(("Provenance", told.trail))
        changes = tuple(draft.change() for draft in bench.drafts.values())
        errors = any(issue.severity is Severity.ERROR for issue in bench.issues)
        if not errors and "response" not in header.body and not any(_tells(change) for change in changes):
            # What an acknowledgement says, its header says; a record has no use for it, a receiver of Bundles may.
            bench.issue(Severity.ERROR, "mapping", "MSH-9", _NOTHING)
        return Translation(
            changes=changes,
            issues=tuple(sorted(bench.issues, key=lambda issue: _RANK[issue.severity])),
            trail=Trails(noted),
            label=_label(message),
            event_time=_event_time(message, bench),
            provenance={key: value for key, value in told.body.items() if key not in ("resourceType", "id")},
            header=header.body,
        )

    def _event(self, type_: str, trigger: str) -> Event:
        entry = self._messages.get(type_, {})
        triggers = entry.get("triggers", {})
        trigger = trigger or unnamed(entry)
        told = triggers.get(trigger, triggers.get("*"))
        return Event(
            type_,
            trigger,
            mapped=told is not None,
            snapshot=bool(entry.get("snapshot", False)),
            encounter=(told or {}).get("encounter"),
            settled=bool((told or {}).get("settled", False)),
            structure=(told or {}).get("structure", ""),
        )

    def _allowed(self, event: Event) -> bool:
        triggers = self._unmapped.get(event.type, frozenset())
        return "*" in triggers or event.trigger in triggers


_NOTHING = "nothing in this message can be translated"
_FOCUS = ("Patient",)
_MENTIONED = frozenset({"Device", "Location", "Organization", "Practitioner", "PractitionerRole"})
"""Types that messages mention by the way."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


def _tells(change: Change) -> bool:
    """Whether a change says something: more than who was mentioned, what nothing takes, and the message itself."""
    if change.type == "Basic" or (change.resource or {}).get("type") == origin.ORIGINAL:
        return False
    told = set(change.resource or ()) - {"resourceType", "id"} - change.union - change.keep
    return change.type not in _MENTIONED or bool(told)


def _label(message: Message) -> str:
    """What a message is called: type, control id and sender, as far as it tells them."""
    header = message.segments[0]
    what = f"{message.type}^{message.event}" if message.type or message.event else "a message without a type"
    sender = f"{header.text(3)}|{header.text(4)}"
    return f"{what} {header.text(10)} from {sender}" if sender != "|" or header.text(10) else what


def _event_time(message: Message, bench: Bench) -> datetime | None:
    """EVN-6 (when it happened), else EVN-2 (when it was recorded), else MSH-7."""
    trigger = message.first("EVN")
    candidates = [trigger.text(6), trigger.text(2)] if trigger is not None else []
    for text in (*candidates, message.segments[0].text(7)):
        if text and (when := point(bench.moment(text))) is not None:
            return when
    return None


def _zone(name: str | None) -> ZoneInfo | None:
    if name is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError("timezone", "no such IANA time zone") from error
