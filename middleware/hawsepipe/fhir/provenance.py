"""Provenance of a transaction (https://hl7.org/fhir/R4/provenance.html): who caused it, from which message.

And which field wrote which element.

The trail of a target is one extension on its reference, not one extension a line: a laboratory message writes thousands
of elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from hawsepipe.fhir.dates import instant_text
from hawsepipe.model import Resource, Trail, Trails

TRAIL = "urn:hawsepipe:extension:trail"
"""The extension on a target: lines `path=source` (`name[0].family=PID-5.1.1`), joined by a line feed."""

MESSAGE = "urn:hawsepipe:message"
"""The system of a source message's identifier, which is the SHA-256 of its bytes in hex."""

SENDER_RECORDED = "urn:hawsepipe:extension:sender-recorded"
"""The extension beside `recorded`: when the sender recorded it, by its own word."""

FEED = "urn:hawsepipe:feed"
CLIENT = "urn:hawsepipe:client"
RULES = "urn:hawsepipe:rules:"

SUPERSEDED = "urn:hawsepipe:extension:superseded"
"""The extension of a Provenance that names a resource which its message was too old to change, or a final result
that it would have made a preliminary one."""

UNCHANGED = "urn:hawsepipe:extension:unchanged"
"""The extension of a Provenance whose message changed nothing: its targets are versions that were there before."""

LOAD = "urn:hawsepipe:load"
"""The system of the tag that names the load of history which brought a version, and that of its Provenance."""

WITHDRAWN = "urn:hawsepipe:load-withdrawn"
"""The system of the tag that takes its place in a Provenance once the load was withdrawn."""

_FEED_PREFIX = "feed:"
_LIFECYCLE = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


_DIGEST = re.compile("[0-9a-f]{64}")
_VERSIONED = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})/_history/([1-9][0-9]{0,8})")


class Place(NamedTuple):
    """A version here."""

    type: str
    id: str
    version: int

    @property
    def reference(self) -> str:
        """`Patient/1`."""
        return f"{self.type}/{self.id}"

    @property
    def versioned_reference(self) -> str:
        """`Patient/1/_history/2`."""
        return f"{self.type}/{self.id}/_history/{self.version}"


def targets(provenance: Resource) -> Iterator[Place | None]:
    """Yield the version that each target names in the form of `complete` (`Type/id/_history/1`), else None."""
    named = provenance.get("target")
    for target in named if isinstance(named, list) else ():
        literal = target.get("reference") if isinstance(target, dict) else None
        match = _VERSIONED.fullmatch(literal) if isinstance(literal, str) else None
        yield Place(match[1], match[2], int(match[3])) if match is not None else None


def messages(provenance: Resource) -> Iterator[bytes]:
    """Yield the digest of each message that a Provenance of `draft` names."""
    named = provenance.get("entity")
    for entity in named if isinstance(named, list) else ():
        what = entity.get("what") if isinstance(entity, dict) else None
        told = what.get("identifier") if isinstance(what, dict) else None
        value = told.get("value") if isinstance(told, dict) and told.get("system") == MESSAGE else None
        if isinstance(value, str) and _DIGEST.fullmatch(value):
            yield bytes.fromhex(value)


def draft(
    actor: str,
    *,
    id: str,
    source: bytes | None = None,
    label: str = "",
    rules: bytes | None = None,
    event_time: datetime | None = None,
    client: str | None = None,
    operation: str | None = None,
    told: Resource | None = None,
    trail: str | None = None,
) -> Resource:
    """Return a Provenance without target and recorded.

    `actor` is `feed:<name>` or a reference (`Practitioner/1`). `source` is the digest of the message that caused the
    transaction, `label` its name for people, `rules` the digest of the mapping rules, `event_time` (aware) when the
    sender says that it happened. `client` is the API client that the actor used; `operation` is a v3-DataOperation code
    (CREATE, UPDATE, DELETE), by default that a message was transformed or that something was updated. `told` are the
    sender's words (`Translation.provenance`): its agents, activity and sources join ours, its time of recording goes
    beside the record's own. `trail` are the lines about these words themselves (those of `lines` for `Provenance`).
    """
    result: Resource = {"resourceType": "Provenance", "id": id}
    if event_time is not None:
        result["occurredDateTime"] = instant_text(event_time)
    if rules is not None:
        result["policy"] = [RULES + rules.hex()]
    if operation is None and source is not None:
        result["activity"] = _concept(_LIFECYCLE, "transform")
    else:
        result["activity"] = _concept(_OPERATION, operation or "UPDATE")
    if actor.startswith(_FEED_PREFIX):
        name = actor.removeprefix(_FEED_PREFIX)
        who: dict[str, Any] = {"identifier": {"system": FEED, "value": name}, "display": actor}
        result["agent"] = [{"type": _concept(_PARTICIPANT, "assembler"), "who": who}]
    else:
        result["agent"] = [{"type": _concept(_PARTICIPANT, "author"), "who": {"reference": actor}}]
    if client is not None:
        used = {"identifier": {"system": CLIENT, "value": client}}
        result["agent"].append({"type": _concept(_PARTICIPANT, "enterer"), "who": used})
    if source is not None:
        what: dict[str, Any] = {"identifier": {"system": MESSAGE, "value": source.hex()}}
        if label:
            what["display"] = label
        result["entity"] = [{"role": "source", "what": what}]
    if told is not None:
        result = _joined(result, told)
    if trail is not None:
        result["extension"] = [*result.get("extension", ()), {"url": TRAIL, "valueString": trail}]
    return result


def _joined(ours: Resource, told: Resource) -> Resource:
    """Return our words with the sender's. What only the record can say (id, target, recorded, meta) is not hers."""
    result = dict(ours)
    for name in ("occurredDateTime", "_occurredDateTime", "occurredPeriod"):
        if name in told:
            result = {key: value for key, value in result.items() if not key.startswith(("occurred", "_occurred"))}
            break
    result |= {name: told[name] for name in _SENDERS if name in told}
    if "extension" in result:
        # Only the store says that a target was there before: a Provenance is seen by what its targets are.
        result["extension"] = [item for item in result["extension"] if item.get("url") != UNCHANGED]
    activity = told.get("activity", {}).get("coding", [])
    if activity:
        result["activity"] = {"coding": [*ours["activity"]["coding"], *activity]}
    result["agent"] = [*ours["agent"], *told.get("agent", ())]
    sources = list(told.get("entity", ()))
    if sources:
        # The message by its digest, then what is kept of it: who may not see the copy may know where a value came from.
        result["entity"] = [*ours.get("entity", ()), *sources]
    if "policy" in told:
        result["policy"] = [*ours.get("policy", ()), *told["policy"]]
    beside = list(told.get("_recorded", {}).get("extension", ()))
    if "recorded" in told:
        beside.insert(0, {"url": SENDER_RECORDED, "valueInstant": told["recorded"]})
    if beside:
        result["_recorded"] = {"extension": beside}
    return result


_SENDERS = ("occurredDateTime", "_occurredDateTime", "occurredPeriod", "location", "reason", "signature", "extension")
"""Elements that are the sender's alone."""


def lines(trail: Iterable[Trail]) -> dict[str, str]:
    """Return the trail of each resource (`Patient/1`) as its target holds it (see `TRAIL`)."""
    found: dict[str, list[str]] = {}
    if isinstance(trail, Trails):
        for resource, written in trail.noted:
            steps = [f"{path}{below}={source}" for path, leaves in written for below, source in leaves]
            if steps:
                found.setdefault(resource, []).extend(steps)
        return {resource: "\n".join(steps) for resource, steps in found.items()}
    last, steps = None, []
    for resource, path, source in trail:
        if resource != last:  # most lines are of the resource of the one before
            last, steps = resource, found.setdefault(resource, [])
        steps.append(f"{path}={source}")
    return {resource: "\n".join(steps) for resource, steps in found.items()}


def parted(trail: Sequence[Trail], resource: str) -> tuple[Sequence[Trail], Sequence[Trail]]:
    """Return the trail of one resource, and that of all others."""
    if isinstance(trail, Trails):
        own = [entry for entry in trail.noted if entry[0] == resource]
        return Trails(own), Trails([entry for entry in trail.noted if entry[0] != resource])
    return [line for line in trail if line.resource == resource], [line for line in trail if line.resource != resource]


def superseded(draft: Resource, resources: Sequence[str]) -> Resource:
    """Return the draft saying of these resources (`Patient/1`) that they show what a newer event told, or are final."""
    if not resources:
        return draft
    names = [{"url": SUPERSEDED, "valueReference": {"reference": name}} for name in dict.fromkeys(resources)]
    return draft | {"extension": [*draft.get("extension", ()), *names]}


def unchanged(draft: Resource) -> Resource:
    """Return the draft saying that its targets were there before and stay as they are."""
    return draft | {"extension": [*draft.get("extension", ()), {"url": UNCHANGED, "valueBoolean": True}]}


def says_unchanged(provenance: Resource) -> bool:
    """Whether a Provenance says so."""
    items = provenance.get("extension")
    return isinstance(items, list) and any(isinstance(item, dict) and item.get("url") == UNCHANGED for item in items)


def withdrawn(provenance: Resource) -> bool:
    """Whether what a Provenance tells of a load of history was taken back (see `LOAD`)."""
    meta = provenance.get("meta")
    tags = meta.get("tag") if isinstance(meta, dict) else None
    return isinstance(tags, list) and any(isinstance(tag, dict) and tag.get("system") == WITHDRAWN for tag in tags)


def complete(draft: Resource, versions: Iterable[Place], instant: datetime, trail: Mapping[str, str]) -> Resource:
    """Return the Provenance of the versions that a transaction made; `trail` is of `lines`.

    Recorded at `instant`; the draft stays as it is.
    """
    targets: list[dict[str, Any]] = []
    for version in versions:
        target: dict[str, Any] = {"reference": version.versioned_reference}
        text = trail.get(version.reference)
        if text is not None:
            target["extension"] = [{"url": TRAIL, "valueString": text}]
        targets.append(target)
    head = {"resourceType": "Provenance", "id": draft["id"], "target": targets}
    occurred = {key: value for key, value in draft.items() if key.lstrip("_").startswith("occurred")}
    rest = {key: value for key, value in draft.items() if key not in head}
    return head | occurred | {"recorded": instant_text(instant)} | rest


def subjects(draft: Resource, versions: Sequence[Place]) -> Sequence[Place]:
    """Return the versions that a Provenance is about: not what it names as an entity, where the others come from,
    unless there is nothing else.
    """
    sources = named_as_sources(draft)
    return [version for version in versions if version.reference not in sources] or versions


def named_as_sources(draft: Resource) -> set[str]:
    """Return what a Provenance names as an entity (`DocumentReference/1`)."""
    return {str(entity.get("what", {}).get("reference")) for entity in draft.get("entity", ())}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}
