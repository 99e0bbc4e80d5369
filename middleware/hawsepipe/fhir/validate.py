"""Validation of R4 resources: structure, cardinality, primitives, required codes, reference targets, narrative.

https://hl7.org/fhir/R4/validation.html. `_Walk` is the rule; a JSON Schema made from the same tables (`schemas`)
answers for the many resources that are right, and never accepts one that the walk refuses. Of the invariants only
ext-1, ref-1 and dom-2 are checked, and no profile.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hawsepipe.fhir import narrative
from hawsepipe.fhir.definitions import Definitions, Field
from hawsepipe.fhir.primitives import fits
from hawsepipe.fhir.schemas import Schemas
from hawsepipe.model import Issue, Resource, Severity

LIMIT = 50
"""How many issues are reported for one resource."""

_TYPED = re.compile(
    r"(?:https?://.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?(?:#.*)?"
)


class Validator:
    """Checks resources against the definitions. Schemas are compiled when a type is first met."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._schemas = Schemas(definitions)

    def check(self, resource: Resource) -> tuple[Issue, ...]:
        """Return every finding (at most LIMIT), empty when the resource is right.

        `Issue.location` is a FHIRPath from the resource's type (`Patient.name[0].family`), inside a Bundle from the
        Bundle; the text says what is wrong and not what was there.
        """
        if self._schemas.accepts(resource):
            return ()
        walk = _Walk(self._definitions, self._schemas)
        walk.resource(resource, "", None)
        return tuple(walk.issues[:LIMIT])

    def accepts_elements(self, kind: str, elements: Mapping[str, Any]) -> bool:
        """Say whether elements of a resource of this type (a primitive with its `_` twin) are surely right.

        Those that are right together are right alone. Each that is right alone is right in every resource of the type
        without contained ones, also beside a twin that is right alone; which of them may stand together, and which have
        to be there, depends on their names alone.
        """
        return self._schemas.accepts_elements(kind, elements)


class _Walk:
    """One pass over one resource that collects issues."""

    def __init__(self, definitions: Definitions, schemas: Schemas | None) -> None:
        self._definitions = definitions
        self._schemas = schemas
        self.issues: list[Issue] = []

    def resource(self, value: Any, path: str, fragments: frozenset[str] | None) -> None:
        """Check a resource; `fragments` are the ids that `#id` may name, None for a resource that is not contained."""
        if type(value) is not dict:
            self._say("structure", path or "Resource", "is not an object")
            return
        kind = value.get("resourceType")
        if type(kind) is not str or kind not in self._definitions.resource_types:
            self._say("structure", path or "Resource", "has no resourceType of R4")
            return
        here = path or kind
        if fragments is None:
            contained = value.get("contained")
            inner = contained if type(contained) is list else []
            fragments = frozenset(it["id"] for it in inner if type(it) is dict and type(it.get("id")) is str)
        elif "contained" in value:
            self._say("invariant", f"{here}.contained", "a contained resource cannot contain another")
        self._object(value, kind, here, fragments, is_resource=True)

    def _object(
        self, value: dict[str, Any], shape: str, path: str, fragments: frozenset[str], *, is_resource: bool = False
    ) -> None:
        fields = self._definitions.shape(shape)
        if not value:
            self._say("structure", path, "is an empty object")
        groups: dict[str, str] = {}
        for key, held in value.items():
            name = key[1:] if key.startswith("_") else key
            known = fields.get(name)
            if known is None or (name is not key and not known.primitive):
                if not (is_resource and key == "resourceType"):
                    self._say("structure", path, "has an element that R4 does not know")
                continue
            here = f"{path}.{known.element.removesuffix('[x]')}"
            if groups.setdefault(known.element, name) != name:
                self._say("structure", here, f"is a second value of {known.element}")
            if name is not key:
                self._twin(known, held, value.get(name), here)
            elif known.many:
                self._list(known, held, value.get(f"_{key}"), here, fragments)
            elif type(held) is list:
                self._say("structure", here, "is a list")
            else:
                self._item(known, held, here, fragments)
        for known in fields.values():
            if known.minimum > 0 and known.element not in groups:
                groups[known.element] = ""
                self._say("required", f"{path}.{known.element.removesuffix('[x]')}", "is missing")
        self._invariants(value, shape, path, fragments)

    def _list(self, known: Field, held: Any, twin: Any, path: str, fragments: frozenset[str]) -> None:
        if type(held) is not list:
            self._say("structure", path, "is not a list")
            return
        if not held:
            self._say("structure", path, "is an empty list")
        if known.maximum is not None and len(held) > known.maximum:
            self._say("structure", path, f"has more than {known.maximum} items")
        for index, item in enumerate(held):
            here = f"{path}[{index}]"
            if item is not None:
                self._item(known, item, here, fragments)
            elif not (known.primitive and type(twin) is list and index < len(twin) and twin[index] is not None):
                self._say("structure", here, "is null without an extension")

    def _item(self, known: Field, item: Any, path: str, fragments: frozenset[str]) -> None:
        if known.primitive:
            self._primitive(known, item, path)
        elif type(item) is not dict:
            self._say("structure", path, "is not an object")
        elif known.shape is None:
            # A contained resource may refer to what its container contains; one in a Bundle or Parameters is on its
            # own.
            if known.key == "contained":
                self.resource(item, path, fragments)
            elif self._schemas is None or not self._schemas.accepts(item):
                self.resource(item, path, None)
        else:
            self._object(item, known.shape, path, fragments)
            if known.type == "Reference":
                self._reference(known, item, path)
            elif known.value_set is not None:
                self._coded(known, item, path)

    def _primitive(self, known: Field, value: Any, path: str) -> None:
        if not fits(known.type, value):
            self._say("value", path, f"is not a {known.type}" if value != "" else "is empty")
        elif known.type == "xhtml":
            flaw = narrative.flaw(value)
            if flaw is not None:
                self._say("invalid", path, flaw)
        elif known.value_set is not None and known.type == "code":
            codes = self._definitions.codes(known.value_set)
            if codes is not None and value not in codes:
                self._say("code-invalid", path, f"is not a code of {known.value_set}")

    def _twin(self, known: Field, held: Any, values: Any, path: str) -> None:
        """Check the id and extensions of a primitive, `_name` beside `name`."""
        if not known.many:
            self._element(held, path)
            return
        if type(held) is not list or not held:
            self._say("structure", path, "has extensions that are not a list")
            return
        if type(values) is list and len(values) != len(held):
            self._say("structure", path, "has not as many extensions as values")
        for index, item in enumerate(held):
            if item is not None:
                self._element(item, f"{path}[{index}]")
            elif type(values) is not list:
                self._say("structure", f"{path}[{index}]", "is null without a value")

    def _element(self, value: Any, path: str) -> None:
        if type(value) is dict:
            self._object(value, "Element", path, frozenset())
        else:
            self._say("structure", path, "has extensions that are not an object")

    def _coded(self, known: Field, item: dict[str, Any], path: str) -> None:
        """Check a required binding of a Coding or CodeableConcept: one coding is of the value set."""
        systems = self._definitions.value_sets.get(known.value_set or "")
        codings = item.get("coding") if known.type == "CodeableConcept" else [item]
        if systems is None or known.type not in ("CodeableConcept", "Coding") or type(codings) is not list:
            return
        coded = [it for it in codings if type(it) is dict and type(it.get("code")) is str]
        if coded and not any(it["code"] in systems.get(str(it.get("system")), frozenset()) for it in coded):
            self._say("code-invalid", path, f"has no code of {known.value_set}")

    def _reference(self, known: Field, item: dict[str, Any], path: str) -> None:
        literal = item.get("reference")
        if not known.targets or "Resource" in known.targets or type(literal) is not str:
            return
        match = _TYPED.fullmatch(literal)
        named = match[1] if match is not None else None
        if named in self._definitions.resource_types and named not in known.targets:
            self._say("structure", f"{path}.reference", f"names another type than {' or '.join(known.targets)}")

    def _invariants(self, value: dict[str, Any], shape: str, path: str, fragments: frozenset[str]) -> None:
        if shape == "Extension":
            valued = any(key.startswith(("value", "_value")) for key in value)
            if valued == ("extension" in value):
                self._say("invariant", path, "has not either a value or extensions (ext-1)")
        elif shape == "Reference":
            literal = value.get("reference")
            if type(literal) is str and len(literal) > 1 and literal.startswith("#") and literal[1:] not in fragments:
                self._say("invariant", f"{path}.reference", "names nothing that is contained (ref-1)")

    def _say(self, cause: str, path: str, text: str) -> None:
        if len(self.issues) < LIMIT:
            self.issues.append(Issue(Severity.ERROR, cause, path, text))
