"""What conversions and decisions ask of the compilation that they are part of."""

from __future__ import annotations

from typing import Protocol

from hawsepipe_fhir.bench import Convert, Step
from hawsepipe_fhir.definitions import Definitions, Field
from hawsepipe_fhir.scope import Scope
from hawsepipe_fhir.steps import Plan
from hawsepipe_fhir.tables import Row, Tables


class Workshop(Protocol):
    """A compilation of one version's tables, as its parts see it: what it knows, and the steps that it makes."""

    tables: Tables
    source: Definitions
    target: Definitions
    number: str
    """The version as extension URLs have it (`3.0`)."""
    element: Plan
    """The plan of what any element has: an id and extensions."""

    def type(self, name: str, to: str) -> Plan:
        """Return the plan of a type of the source version, written to a type of R4."""

    def complex(self, name: str, final: Field) -> Convert:
        """Return the conversion of a type into a field of R4."""

    def move(self, scope: Scope, path: str, field: Field, row: Row) -> Step | None:
        """Return the step that moves an element, None when it does not fit."""

    def keep(self, scope: Scope, path: str, field: Field, url: str | None = None) -> Step:
        """Return the step that keeps an element as an extension."""
