"""Whether a resource conforms to profiles: cardinality, fixed and pattern values, types, required bindings, slices,
invariants. Pure; what a profile names (other profiles, value sets) is known before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hawsepipe.fhir.profiles import Node, Profile, objects
from hawsepipe.fhir.slicing import Discriminator, discriminators, fits_pattern, items, matches
from hawsepipe.model import Issue, Resource, Severity

MOST_EVALUATED: Final = 500
"""Evaluations of invariants in one validation; clients store profiles, and an evaluation takes milliseconds."""

MOST: Final = 200
"""Findings that are told."""

_DEEPEST: Final = 50
_CHECKED: Final = frozenset({"ele-1", "ext-1"})
"""Invariants of every element, which `fhir.validate` holds."""

_PRIMITIVE_TYPES: Final = "http://hl7.org/fhirpath/System."

Invariant = Callable[[str, Any, Resource], bool | None]
"""Evaluates a FHIRPath expression on an element of a resource; None when that cannot be done here."""


@dataclass(slots=True)
class Knowledge:
    """What is known beside a profile: profiles and codes of value sets by address (None: cannot be enumerated)."""

    profiles: dict[str, Profile] = field(default_factory=dict)
    codes: dict[str, Collection[tuple[str, str]] | None] = field(default_factory=dict)
    holds: Invariant = field(default=lambda expression, element, resource: None)


def conforms(resource: Resource, profile: Profile, knowledge: Knowledge) -> list[Issue]:
    """Return the findings about a resource against a profile and those that it was derived from."""
    check = _Check(resource, knowledge)
    check.against(profile, resource, profile.type)
    return check.issues


class _Check:
    """One pass over one resource."""

    def __init__(self, resource: Resource, knowledge: Knowledge) -> None:
        self._resource = resource
        self._knowledge = knowledge
        self.issues: list[Issue] = []
        self._said: set[tuple[str, str]] = set()
        self._evaluated = 0

    def against(self, profile: Profile, value: Mapping[str, Any], path: str, depth: int = 0) -> None:
        """Check an object against a profile and its bases."""
        if depth > _DEEPEST:
            self._say("processing", path, "profiles are derived from each other in a circle", Severity.WARNING)
            return
        if profile.type == str(value.get("resourceType", profile.type)):
            self._element(profile.root, value, path, depth)
        else:
            self._say("structure", path, f"is not the {profile.type} that {profile.url} is about")
            return
        base = self._knowledge.profiles.get(profile.base or "")
        if base is not None:
            self.against(base, value, path, depth + 1)

    def _element(self, node: Node, value: Any, path: str, depth: int) -> None:
        fixed, pattern = node.stated("fixed"), node.stated("pattern")
        if fixed is not None and value != fixed:
            self._say("value", path, "is not the value that the profile fixes")
        if pattern is not None and not fits_pattern(value, pattern):
            self._say("value", path, "does not have what the profile's pattern has")
        self._binding(node, value, path)
        self._profiled(node, value, path, depth)
        for constraint in objects(node.definition.get("constraint")):
            self._invariant(constraint, value, path)
        if isinstance(value, dict):
            for child in node.children.values():
                self._child(child, value, path, depth)

    def _child(self, node: Node, parent: Mapping[str, Any], path: str, depth: int) -> None:
        found = list(items(parent, node.name))
        here = f"{path}.{node.name.removesuffix('[x]')}"
        self._count(node, len(found), here, "")
        typed = {str(it.get("code")) for it in node.types}
        for key, item, number in found:
            place = here if number is None else f"{here}[{number}]"
            if node.name.endswith("[x]") and typed and not _is_of(key.removeprefix(node.name[:-3]), typed):
                self._say("structure", place, f"is none of {', '.join(sorted(typed))}, as the profile wants")
            self._element(node, item, place, depth)
        if node.slices:
            self._slices(node, found, here, depth)

    def _slices(self, node: Node, found: Sequence[tuple[str, Any, int | None]], here: str, depth: int) -> None:
        slicing = node.definition.get("slicing")
        rules = slicing.get("rules", "open") if isinstance(slicing, dict) else "open"
        by = discriminators(node)
        if any(not one.known for one in by):
            self._say("not-supported", here, "a slicing of the profile is not checked here", Severity.WARNING)
            return
        counts = [0] * len(node.slices)
        order: list[int] = []
        for key, item, number in found:
            place = here if number is None else f"{here}[{number}]"
            chosen = self._slice(node, by, key, item)
            if chosen is None:
                if rules == "closed":
                    self._say("structure", place, "is in none of the profile's slices")
                continue
            counts[chosen] += 1
            order.append(chosen)
            self._element(node.slices[chosen], item, place, depth)
        if isinstance(slicing, dict) and slicing.get("ordered") is True and order != sorted(order):
            self._say("structure", here, "has the profile's slices in another order")
        for one, count in zip(node.slices, counts, strict=True):
            self._count(one, count, here, f" of the slice {one.slice}")

    def _slice(self, node: Node, by: Sequence[Discriminator], key: str, item: Any) -> int | None:
        for number, one in enumerate(node.slices):
            if matches(one, by, key, item, self._conforms):
                return number
        return None

    def _conforms(self, url: str, value: Any) -> bool | None:
        """Say whether an object conforms to a profile by address, None if that is not known."""
        profile = self._knowledge.profiles.get(url.partition("|")[0])
        if profile is None or not isinstance(value, dict):
            return None
        check = _Check(self._resource, self._knowledge)
        check.against(profile, value, profile.type)
        return not any(it.severity is Severity.ERROR for it in check.issues)

    def _profiled(self, node: Node, value: Any, path: str, depth: int) -> None:
        """Check an element that has to conform to a profile of its type; of several one is enough."""
        wanted = [url for it in node.types for url in it.get("profile", ()) if isinstance(url, str)]
        known = [it for url in wanted if (it := self._knowledge.profiles.get(url.partition("|")[0])) is not None]
        if len(known) < len(wanted) or not known or not isinstance(value, dict) or depth > _DEEPEST:
            return
        if len(known) == 1:
            self.against(known[0], value, path, depth + 1)
        elif not any(self._conforms(it.url, value) for it in known):
            self._say("structure", path, "conforms to none of the profiles that it may have")

    def _binding(self, node: Node, value: Any, path: str) -> None:
        binding = node.definition.get("binding")
        if not isinstance(binding, dict) or binding.get("strength") != "required":
            return
        address = binding.get("valueSet")
        if not isinstance(address, str) or (isinstance(value, (dict, list)) and not _coded(value)):
            return
        codes = self._knowledge.codes.get(address)
        if codes is None:
            text = f"the binding to {address} is not checked: it is not known here, or cannot be enumerated"
            self._say("not-supported", path, text, Severity.WARNING)
        elif not any(it in codes for it in _codings(value, codes)):
            self._say("code-invalid", path, f"has no code of {address}")

    def _invariant(self, constraint: Mapping[str, Any], value: Any, path: str) -> None:
        expression = constraint.get("expression")
        key = str(constraint.get("key", ""))
        if not isinstance(expression, str) or key in _CHECKED:
            return
        self._evaluated += 1
        held = None
        if self._evaluated <= MOST_EVALUATED:
            held = self._knowledge.holds(expression, value, self._resource)
        if held is None:
            self._say("not-supported", "", f"the invariant {key} is not checked here", Severity.INFORMATION)
        elif not held:
            severity = Severity.WARNING if constraint.get("severity") == "warning" else Severity.ERROR
            self._say("invariant", path, f"breaks the invariant {key}", severity)

    def _count(self, node: Node, count: int, path: str, of: str) -> None:
        if count < node.minimum:
            self._say("required", path, f"is there {count} times{of}, and the profile wants {node.minimum}")
        if node.maximum is not None and count > node.maximum:
            self._say("structure", path, f"is there {count} times{of}, and the profile allows {node.maximum}")

    def _say(self, cause: str, path: str, text: str, severity: Severity = Severity.ERROR) -> None:
        if len(self.issues) < MOST and (path, text) not in self._said:
            self._said.add((path, text))
            self.issues.append(Issue(severity, cause, path, text))


def _is_of(suffix: str, types: Collection[str]) -> bool:
    return any(it[:1].upper() + it[1:] == suffix or it.startswith(_PRIMITIVE_TYPES) for it in types)


def _coded(value: Any) -> bool:
    return isinstance(value, dict) and not {"code", "coding"}.isdisjoint(value)


def _codings(value: Any, codes: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the codes of an element as (system, code); a plain code is of whatever system has it."""
    if isinstance(value, str):
        return [it for it in codes if it[1] == value]
    listed = value.get("coding") if "coding" in value else [value]
    return [(str(it.get("system", "")), str(it.get("code"))) for it in objects(listed)]
