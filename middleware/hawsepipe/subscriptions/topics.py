"""Topics: what can be subscribed to. https://hl7.org/fhir/uv/subscriptions-backport/STU1.1/components.html

A topic is a SubscriptionTopic of R5, or the same as a Basic of R4 with its elements as extensions. Each resource type
has one that is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hawsepipe.errors import ConfigError, HawsepipeError
from hawsepipe.fhir import codec
from hawsepipe.model import Operation, Resource

BUILT_IN: Final = "urn:hawsepipe:topic:"
"""The topic of a type is called so, and its name: `urn:hawsepipe:topic:Observation`."""

_CROSS: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
_INTERACTIONS: Final = {"create": Operation.CREATE, "update": Operation.UPDATE}
_TYPES: Final = "http://hl7.org/fhir/StructureDefinition/"
_LISTS: Final = frozenset({"resourceTrigger", "canFilterBy", "supportedInteraction"})


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: by resource type, what makes an event and (None: all) which search parameters may filter it."""

    url: str
    triggers: Mapping[str, frozenset[Operation]]
    filters: Mapping[str, frozenset[str]] | None = None

    def filterable(self, kind: str, parameter: str) -> bool:
        """Say whether a search parameter of a type may filter."""
        if self.filters is None:
            return True
        return parameter in self.filters.get(kind, frozenset()) | self.filters.get("", frozenset())


def topics(types: Iterable[str], folder: Path | None) -> dict[str, Topic]:
    """Return all topics by their url. Raises ConfigError for a file that is none."""
    whenever = frozenset(_INTERACTIONS.values())
    found = {BUILT_IN + kind: Topic(BUILT_IN + kind, {kind: whenever}) for kind in sorted(types)}
    for path in sorted(folder.glob("*.json")) if folder is not None else ():
        try:
            made = topic(codec.decode(path.read_bytes()))
        except (OSError, HawsepipeError) as error:
            raise ConfigError("subscriptions.topics", f"{path} is no topic: {error}") from error
        found[made.url] = made
    return found


def topic(resource: Resource) -> Topic:
    """Read a topic. Raises ConfigError for what cannot be kept: what is not understood must not be left out."""
    told = _basic(resource) if resource.get("resourceType") == "Basic" else resource
    url = told.get("url")
    triggers: dict[str, frozenset[Operation]] = {}
    for trigger in told.get("resourceTrigger", ()):
        if trigger.get("queryCriteria") or trigger.get("fhirPathCriteria"):
            raise ConfigError("subscriptions.topics", "triggers with criteria of their own are not kept here")
        named = trigger.get("supportedInteraction") or list(_INTERACTIONS)
        if not set(named) <= set(_INTERACTIONS):
            raise ConfigError("subscriptions.topics", "triggers are create and update here, no deletions")
        kind = str(trigger.get("resource", "")).removeprefix(_TYPES)
        triggers[kind] = triggers.get(kind, frozenset()) | {_INTERACTIONS[name] for name in named}
    if not isinstance(url, str) or not triggers or told.get("eventTrigger"):
        raise ConfigError("subscriptions.topics", "a topic has a url and triggers by resource")
    filters: dict[str, frozenset[str]] = {}
    for one in told.get("canFilterBy", ()):
        kind = str(one.get("resource", "")).removeprefix(_TYPES)
        filters[kind] = filters.get(kind, frozenset()) | {str(one.get("filterParameter", ""))}
    return Topic(url, triggers, filters)


def _basic(resource: Resource) -> Resource:
    """Return the SubscriptionTopic that a Basic tells in extensions."""
    listed = [one for one in resource.get("extension", ()) if str(one.get("url", "")).startswith(_CROSS)]
    return _elements([{**one, "url": one["url"].removeprefix(_CROSS)} for one in listed])


def _elements(extensions: Iterable[Mapping[str, Any]]) -> Resource:
    found: Resource = {}
    for one in extensions:
        name = str(one.get("url", ""))
        inner = one.get("extension")
        value = _elements(inner) if inner else next((v for key, v in one.items() if key.startswith("value")), None)
        if name in _LISTS:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found
