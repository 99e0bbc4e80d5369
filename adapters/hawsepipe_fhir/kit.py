"""What a decision is made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hawsepipe import ConfigError
from hawsepipe_fhir.bench import Place, Step
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.scope import Scope
from hawsepipe_fhir.workshop import Workshop

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"


@dataclass(frozen=True, slots=True)
class Kit:
    """What a decision is made with: steps for the element that its row is about, and for what is inside it."""

    workshop: Workshop
    scope: Scope
    path: str
    field: Field

    def part(self, name: str) -> Field:
        """Return the definition of something inside the element."""
        field = self.field
        for step in name.split("."):
            inside = (field.type, "") if field.type else (field.owner, field.below)
            field = self.workshop.source.children(*inside)[step]
        return field

    def mover(self, to: str, part: str = "", **row: Any) -> Step:
        """Return the step that moves the element, or a part of it, to a path of R4."""
        field, path = (self.part(part), f"{self.path}.{part}") if part else (self.field, self.path)
        step = self.workshop.move(self.scope, path, field, {"to": to, **row})
        if step is None:
            raise ConfigError("via", f"{self.scope.table}.{path} does not fit {to}")
        return step

    def keeper(self, part: str = "", url: str | None = None) -> Step:
        """Return the step that keeps the element, or a part of it, as an extension."""
        field, path = (self.part(part), f"{self.path}.{part}") if part else (self.field, self.path)
        return self.workshop.keep(self.scope, path, field, url)


Decision = Callable[[Kit], Step]


def path_to(place: Place, name: str) -> str:
    """Return the path of an element of a place in the result."""
    return f"{place.path}.{name}" if place.path else name


def beside(source: str, name: str) -> str:
    """Return the path of an element beside another in the source."""
    head, dot, _ = source.rpartition(".")
    return f"{head}{dot}{name}"


def root_of(place: Place) -> Place:
    """Return the place of the resource (or of the type) that a place is in."""
    while place.base and place.parent is not None:
        place = place.parent
    return place


def word(value: Any) -> str:
    """Return a code, empty for what is none."""
    return value if type(value) is str else ""


def codes_of(concept: Any) -> list[str]:
    """Return the codes of a CodeableConcept."""
    codings = concept.get("coding") if type(concept) is dict else None
    found = [it.get("code") for it in codings if type(it) is dict] if type(codings) is list else []
    return [code for code in found if type(code) is str]
