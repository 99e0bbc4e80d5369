"""The state of one translation: drafts of resources, findings, and where each value came from.

Everything here lives for one message and is thrown away with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, NamedTuple

from hawsepipe import Change, Issue, Method, Severity
from hawsepipe_hl7v2.codings import Codings
from hawsepipe_hl7v2.message import DELETE, Message, Segment
from hawsepipe_hl7v2.naming import Naming, resource_id
from hawsepipe_hl7v2.paths import place
from hawsepipe_hl7v2.times import Moment, date_time, offset_zone, seasons

Leaf = tuple[str, str]
"""A path below a value (`.given[0]`, empty for the value itself) and the source of what is there (`PID-5.2`)."""
Converted = tuple[Any, Sequence[Leaf]]
"""A converted value with its leaves."""
Convert = Callable[["Bench", str, str], Converted | None]
"""Turns a repetition or component as sent, found at a location, into a FHIR value; None when there is nothing
to write."""


_FIXED = frozenset({"resourceType", "id"})
_NONE: frozenset[str] = frozenset()
_OF_PATIENT = frozenset({"patient", "encounter", "PID", "PV1", "MSH", "EVN"})
"""Roles and segments of the patient: prior results share them with the order around them."""


class Event(NamedTuple):
    """MSH-9 and what the events table says about it. `snapshot`: the message speaks for the patient and the visit."""

    type: str
    trigger: str
    mapped: bool
    snapshot: bool
    encounter: str | None
    settled: bool
    structure: str = ""


class Group:
    """A node of the message's group structure, with the resources that play a role in it.

    `prior`: it tells of results from before the order around it, which are nothing of that order.
    """

    __slots__ = ("_firsts", "children", "highest", "name", "number", "parent", "prior", "roles")

    def __init__(
        self, name: str, parent: Group | None, number: int = 1, highest: int = -1, *, prior: bool = False
    ) -> None:
        self.name = name
        self.parent = parent
        self.number = number
        self.highest = highest
        self.prior = prior
        self.children: list[Group] = []
        """The groups directly below, until `dissolve`."""
        if parent is not None:
            parent.children.append(self)
            self.prior = prior or parent.prior
        self._firsts: dict[str, Segment] = {}
        self.roles: dict[str, Draft] = {}

    def role(self, name: str) -> Draft | None:
        """Return the resource in a role, of this group or of one around it."""
        group: Group | None = self
        while group is not None:
            found = group.roles.get(name)
            if found is not None:
                return found
            if group.prior and name not in _OF_PATIENT and group.parent is not None and not group.parent.prior:
                return None
            group = group.parent
        return None

    def add(self, segment: Segment) -> None:
        """Note that a segment belongs here."""
        self._firsts.setdefault(segment.name, segment)

    def segment(self, name: str) -> Segment | None:
        """Return the first segment of a name, of this group or of one around it."""
        group: Group | None = self
        while group is not None:
            found = group._firsts.get(name)
            if found is not None:
                return found
            outer = group.parent
            if group.prior and outer is not None and not outer.prior and name not in _OF_PATIENT:
                return None
            group = outer
        return None

    def segment_here(self, name: str) -> Segment | None:
        """Return the first segment of a name in this group alone."""
        return self._firsts.get(name)

    def inside(self, name: str) -> list[Group]:
        """Return the groups of a name directly below this one."""
        return [child for child in self.children if child.name == name]

    def dissolve(self) -> None:
        """Forget the groups below: what refers to each other is freed only when the collector comes, which for all of
        a message's values takes as long as a third of its translation."""
        for child in self.children:
            child.dissolve()
        self.children.clear()

    def around(self, name: str) -> Group | None:
        """Return this group or the nearest one around it with a name."""
        group: Group | None = self
        while group is not None and group.name != name:
            group = group.parent
        return group


class Draft:
    """A resource in the making. `keep`: None, or which elements give way to what is stored ("*" in it: all).

    `passes`: the message says that it belongs to another patient from now on.
    """

    __slots__ = (
        *("body", "cleared", "defaults", "firm", "id", "keep", "key"),
        *("method", "passes", "trail", "type", "union", "url"),
    )

    def __init__(self, type_: str, key: str, id_: str, method: Method, union: Iterable[str]) -> None:
        self.type = type_
        self.key = key
        self.id = id_
        self.method = method
        self.passes = False
        self.union = set(union)
        self.keep: set[str] = set()
        self.cleared: set[str] = set()
        self.firm: set[str] = set()
        """Elements that are written even where all others give way."""
        self.body: dict[str, Any] = {"resourceType": type_, "id": id_}
        self.url = f"{type_}/{id_}"
        self.trail: list[tuple[str, Sequence[Leaf]]] = []
        """Where values were written and their leaves; what `Trails` are made of."""
        self.defaults: dict[str, tuple[Convert, str, str]] = {}
        """Required elements: path → what gives the default, why, and the segment that wants it."""

    @property
    def reference(self) -> dict[str, Any]:
        """A FHIR Reference to it."""
        return {"reference": self.url}

    def replace(self, element: str, items: str) -> None:
        """Let items of a list (`telecom[use=work]`, or all of them: `telecom`) give way to what is written now; the
        list's others, which other fields feed, stay."""
        self.union.add(element)
        self.cleared.add(items)

    def put(self, path: str, value: Any, source: str = "") -> None:
        """Write a value at a path (the syntax of `paths`), unless an earlier one is there."""
        written = place(path)(self.body, value)
        if written is not None and source:
            self.trail.append((written, [("", source)]))

    def put_converted(self, path: str, converted: Converted | None) -> None:
        """Write what a converter gave, with its trail."""
        if converted is None:
            return
        written = place(path)(self.body, converted[0])
        if written is not None:
            self.trail.append((written, converted[1]))

    def change(self) -> Change:
        """Return the finished change."""
        body = self.body
        if self.method is not Method.MERGE:
            return Change(self.method, self.type, self.id, body)
        present = body.keys()
        union = frozenset([name for name in self.union if name in body and name not in self.cleared])
        if "*" not in self.keep:
            keep = frozenset(self.keep & present) if self.keep else _NONE
        else:
            keep = frozenset([name for name in body if name not in union and name not in _FIXED])
            if self.firm:
                keep -= self.firm
        remove = frozenset(self.cleared - present) if self.cleared else _NONE
        return Change(self.method, self.type, self.id, body, None, remove, union, keep, self.passes)


@dataclass(frozen=True, slots=True)
class Site:
    """What the settings say, ready for use."""

    naming: Naming
    codings: Codings
    zone: tzinfo | None
    patient_identity: tuple[str, ...]
    codes: Mapping[str, Any]
    converts: Mapping[str, Callable[[Bench, str, str, dict[str, Any]], list[Leaf]]]


class Bench:
    """One message on its way to FHIR. `text` returns a raw value as text; `\"\"` is empty."""

    def __init__(self, message: Message, site: Site, event: Event) -> None:
        self.message = message
        self.text = message.reader.text if message.clean else self._text
        self.repetition = message.delimiters.repetition
        self.component = message.delimiters.component
        self.subcomponent = message.delimiters.subcomponent
        self.site = site
        self.naming = site.naming
        self.event = event
        self.drafts: dict[tuple[str, str], Draft] = {}
        self.mentioned: dict[str, Draft] = {}
        """What `mention` made, by its url."""
        self.issues: list[Issue] = []
        self._told: set[tuple[Severity, str, str, str]] = set()
        self.root = self.group = Group("message", None)
        self.later: list[Callable[[], None]] = []
        """What waits for all segments."""
        header = message.segments[0]
        self.sender = header.text(4) or header.text(3)
        self.facility = site.naming.facility(self.sender)
        self._owned: dict[str, str] = {}
        self.control = "|".join((header.text(3), header.text(4), header.text(10)))
        self.zone = site.zone or offset_zone(header.text(7))
        self._near = () if site.zone else seasons(header.text(7))
        self.unsure: set[str] = set()
        """Times with the offset of MSH-7 where daylight saving may be another; who reports one takes it out."""
        self.cache: dict[tuple[str, str], Any] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._moments: dict[str, Moment] = {}

    def issue(self, severity: Severity, cause: str, location: str, text: str) -> None:
        """Note a finding; the same one again counts once."""
        told = (severity, cause, location, text)
        if told not in self._told:
            self._told.add(told)
            self.issues.append(Issue(severity, cause, location, text))

    def inform(self, location: str, text: str) -> None:
        """Note something that a mapping left out or made up."""
        self.issue(Severity.INFORMATION, "mapping", location, text)

    def warn(self, cause: str, location: str, text: str) -> None:
        """Note something that somebody should look at."""
        self.issue(Severity.WARNING, cause, location, text)

    def draft(
        self, type_: str, key: str, method: Method = Method.MERGE, union: Iterable[str] = ("identifier",)
    ) -> Draft:
        """Return the draft of a resource by its business key, made on the first call."""
        known = (type_, key)
        draft = self.drafts.get(known)
        if draft is None:
            draft = self.drafts[known] = Draft(type_, key, resource_id(type_, key), method, union)
        return draft

    def mention(self, type_: str, key: str) -> Draft:
        """Return the draft of somebody or something that a message only mentions.

        A mention is no master data: it fills in what the store lacks and overwrites nothing, so that two senders who
        write one name differently do not take turns.
        """
        known = (type_, key)
        draft = self.drafts.get(known)
        if draft is None:
            # The same few people and places are in every message: their ids are worth remembering.
            draft = self.drafts[known] = Draft(
                type_, key, self.naming.known_id(type_, key), Method.MERGE, ("identifier",)
            )
            self.mentioned[draft.url] = draft
        draft.keep.add("*")
        return draft

    def nobody(self) -> Draft:
        """Return the patient of a message that names none, so that what it tells hangs on something; reported."""
        draft = self.draft("Patient", f"{self.control}|nobody")
        self.group.roles["patient"] = draft
        self.issue(Severity.ERROR, "required", "PID", "the message tells of a patient and names none")
        return draft

    def distinct(self, type_: str, key: str) -> str:
        """Return the key, or for the n-th use of it in this message the key with its number."""
        count = self._seen[type_, key] = self._seen.get((type_, key), 0) + 1
        return key if count == 1 else f"{key}|#{count}"

    def subject(self) -> str:
        """Return what the current patient's resources hang on: its id, or the message's own key."""
        patient = self.group.role("patient")
        return patient.id if patient else self.control

    def _text(self, raw: str) -> str:
        return "" if raw == DELETE else self.message.reader.text(raw)

    def owned(self, kind: str) -> str:
        """Return the URI of what the sending facility numbers without an authority: one for each of `naming.KINDS`."""
        known = self._owned.get(kind)
        if known is None:
            known = self._owned[kind] = self.naming.facility(self.sender, kind) if kind else self.facility
        return known

    def moment(self, text: str) -> Moment:
        """Convert a TS or DTM with the message's zone; the same text often comes again."""
        known = self._moments.get(text)
        if known is None:
            known = self._moments[text] = date_time(text, self.zone, self._near)
            if known.fault == "season":
                self.unsure.add(text)
        return known

    def parts(self, raw: str) -> list[str]:
        """Split a repetition into components as text."""
        parts = raw.split(self.component)
        if self.message.clean and " " not in raw:
            return parts
        text = self.text
        return [text(part) if part else "" for part in parts]

    def sub(self, raw: str) -> str:
        """Return a component as if its subcomponents were components."""
        return raw.replace(self.subcomponent, self.component)
