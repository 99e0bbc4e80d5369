"""JSON Schemas made from the element tables: the fast yes of `validate`.

A schema accepts only what the walk in `validate` accepts (a test holds the two together on altered resources); what it
cannot express it refuses, and then the walk decides: contained resources, extensions on items of a list, a reference
to something contained, a decimal kept as `msgspec.Raw`. Draft 4, because there 1.0 is no integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from hawsepipe.fhir import narrative
from hawsepipe.fhir.definitions import Definitions, Field
from hawsepipe.fhir.primitives import PATTERNS, RANGES
from hawsepipe.model import Resource

Schema = dict[str, Any]

_ID = r"[A-Za-z0-9\-.]{1,64}"


class Schemas:
    """One compiled schema for each resource type, made when it is first needed."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._compiled: dict[str, jsonschema_rs.Draft4Validator] = {}
        self._loose: dict[str, jsonschema_rs.Draft4Validator] = {}

    def accepts(self, resource: Resource) -> bool:
        """Say whether the resource is surely right; False when the walk has to decide."""
        kind = resource.get("resourceType")
        if type(kind) is not str or kind not in self._definitions.resource_types:
            return False
        compiled = self._compiled.get(kind)
        if compiled is None:
            compiled = self._compiled[kind] = jsonschema_rs.Draft4Validator(schema(self._definitions, kind))
        try:
            if not compiled.is_valid(resource):
                return False
        except ValueError:  # a Raw, or another value that JSON does not have: the walk knows what to say
            return False
        text = resource.get("text")
        return text is None or narrative.flaw(text["div"]) is None

    def accepts_elements(self, kind: str, elements: Mapping[str, Any]) -> bool:
        """Say whether elements of a resource of this type are surely right, whatever else there is; False when the
        walk has to decide. Whether they may stand together, and what is required, is not asked.
        """
        if kind not in self._definitions.resource_types:
            return False
        compiled = self._loose.get(kind)
        if compiled is None:
            loose = {key: held for key, held in schema(self._definitions, kind).items() if key not in _TOGETHER}
            compiled = self._loose[kind] = jsonschema_rs.Draft4Validator(loose)
        try:
            if not compiled.is_valid(elements):
                return False
        except ValueError:  # see above
            return False
        text = elements.get("text")
        return text is None or narrative.flaw(text["div"]) is None


_TOGETHER = frozenset({"required", "allOf"})
"""What of a resource's schema is about several of its elements."""


def schema(definitions: Definitions, kind: str) -> Schema:
    """Return the JSON Schema (draft 4) of a resource type, with every definition that it needs."""
    maker = _Maker(definitions)
    root = maker.shape(kind, is_resource=True)
    return {"$schema": "http://json-schema.org/draft-04/schema#", **root, "definitions": maker.definitions}


class _Maker:
    """Collects the definitions that one resource type reaches."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self.definitions: dict[str, Schema] = {}

    def shape(self, name: str, *, is_resource: bool = False) -> Schema:
        fields = self._definitions.shape(name)
        properties: dict[str, Schema] = {}
        groups: dict[str, list[Field]] = {}
        for known in fields.values():
            groups.setdefault(known.element, []).append(known)
            value = self._value(known, top=is_resource)
            if value is None:
                continue
            if known.many:
                value = {"type": "array", "minItems": 1, "items": value}
                if known.maximum is not None:
                    value["maxItems"] = known.maximum
            elif known.primitive and not known.element.endswith("[x]"):
                properties[f"_{known.key}"] = self._shared("Element", lambda: self.shape("Element"))
            properties[known.key] = value
        required = [known.key for known in fields.values() if known.minimum and known.key == known.element]
        result: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        if is_resource:
            properties["resourceType"] = {"enum": [name]}
            required.append("resourceType")
        else:
            result["minProperties"] = 1
        if name == "Extension":  # url with one value, or url with extensions, and nothing else
            result |= {"minProperties": 2, "maxProperties": 2}
        else:
            choices = [self._one_of(group) for element, group in groups.items() if element.endswith("[x]")]
            if choices:
                result["allOf"] = choices
        if required:
            result["required"] = required
        return result

    @staticmethod
    def _one_of(group: list[Field]) -> Schema:
        """Exactly one of the keys of a choice, or none when it is optional."""
        present: list[Schema] = [{"required": [known.key]} for known in group]
        if not any(known.minimum for known in group):
            present.append({"not": {"anyOf": list(present)}})
        return {"oneOf": present}

    def _value(self, known: Field, *, top: bool) -> Schema | None:
        if known.primitive:
            return self._primitive(known)
        if known.shape is None or (known.type == "Narrative" and not top):
            return None
        if known.type == "Reference":
            return self._reference(known.targets)
        plain = self._shared(known.shape, lambda: self.shape(str(known.shape)))
        if known.value_set in self._definitions.value_sets and known.type in ("Coding", "CodeableConcept"):
            return {"allOf": [plain, self._coded(known)]}
        return plain

    def _primitive(self, known: Field) -> Schema:
        codes = self._definitions.codes(known.value_set) if known.value_set and known.type == "code" else None
        if codes is not None:
            return self._shared(f"codes {known.value_set}", lambda: {"enum": sorted(codes)})
        return self._shared(known.type, lambda: _primitive(known.type))

    def _coded(self, known: Field) -> Schema:
        """Every coding is of the value set; where only one is, the walk decides."""
        systems = self._definitions.value_sets[str(known.value_set)]
        coding: Schema = {
            "required": ["system", "code"],
            "anyOf": [
                {"properties": {"system": {"enum": [system]}, "code": {"enum": sorted(codes)}}}
                for system, codes in systems.items()
            ],
        }
        if known.type == "Coding":
            return coding
        return {"required": ["coding"], "properties": {"coding": {"items": coding}}}

    def _reference(self, targets: tuple[str, ...]) -> Schema:
        if not targets or "Resource" in targets:
            targets = tuple(sorted(self._definitions.resource_types))
        name = f"Reference {' '.join(targets)}"

        def make() -> Schema:
            made = self.shape("Reference")
            local = f"(?:{'|'.join(targets)})/{_ID}(?:/_history/{_ID})?"
            absolute = r"https?://[^\x00-\x20#]+/"
            made["properties"]["reference"] = {
                "type": "string",
                "pattern": rf"^(?:(?:{absolute})?{local}|urn:(?:uuid|oid):[^\x00-\x20]+)$",
            }
            return made

        return self._shared(name, make)

    def _shared(self, name: str, make: Any) -> Schema:
        key = name.replace("/", " ").replace("%", " ")
        if key not in self.definitions:
            self.definitions[key] = {}  # so that a type inside itself ends here
            self.definitions[key] = make()
        return {"$ref": f"#/definitions/{key.replace(' ', '%20')}"}


def _primitive(name: str) -> Schema:
    if name in PATTERNS:
        return {"type": "string", "pattern": f"^(?:{PATTERNS[name]})$"}
    if name in RANGES:
        low, high = RANGES[name]
        return {"type": "integer", "minimum": low, "maximum": high}
    return {"type": "boolean" if name == "boolean" else "number"}
