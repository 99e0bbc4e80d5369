"""Resources that have every element of their version, made from its definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hawsepipe_fhir.definitions import Definitions, Field

Json = dict[str, Any]

_VALUES: Json = {
    "base64Binary": "AAAA",
    "boolean": True,
    "canonical": "http://example.org/canonical/{}",
    "code": "some-code-{}",
    "date": "2020-02-03",
    "dateTime": "2020-02-03T04:05:06Z",
    "decimal": 7,
    "id": "an-id-{}",
    "instant": "2020-02-03T04:05:06Z",
    "integer": 3,
    "integer64": "12345678901",
    "markdown": "words {}",
    "oid": "urn:oid:1.2.{}",
    "positiveInt": 2,
    "string": "text {}",
    "time": "04:05:06",
    "unsignedInt": 1,
    "uri": "http://example.org/uri/{}",
    "url": "http://example.org/url/{}",
    "uuid": "urn:uuid:6bc55e39-55de-4b9c-9d70-2b6a0e96b4b8",
    "xhtml": '<div xmlns="http://www.w3.org/1999/xhtml">words</div>',
}


@dataclass
class Maker:
    """Makes resources of a version.

    Of each choice the type with the number `choice` is taken; `twins` gives every primitive an extension, `many` every
    list two items. Texts are all different, so that one that ends in a wrong place is noticed.
    """

    known: Definitions
    choice: int = 0
    twins: bool = False
    many: bool = False
    depth: int = 5
    _count: int = 0

    def resource(self, type: str) -> Json:
        """Return a resource with every element."""
        return {"resourceType": type, **self._object(type, "", self.depth)}

    def _object(self, type: str, below: str, depth: int) -> Json:
        made: Json = {}
        fields = self.known.children(type, below)
        for key, field in fields.items():
            siblings = [name for name in fields if fields[name].element == field.element]
            if siblings[self.choice % len(siblings)] != key or field.type in ("Resource", "Element", "Extension"):
                continue
            count = 2 if field.many and self.many else 1
            values = [value for value in (self._value(field, depth) for _ in range(count)) if value is not None]
            if not values:
                continue
            made[key] = values if field.many else values[0]
            if field.primitive and self.twins and field.type != "xhtml" and key not in ("id", "url", "reference"):
                twins = [{"extension": [self._extension()]} for _ in values]
                made[f"_{key}"] = twins if field.many else twins[0]
        return made

    def _extension(self) -> Json:
        return {"url": "http://example.org/extension", "valueString": self._told("text {}")}

    def _told(self, text: str) -> str:
        self._count += 1
        return text.format(self._count)

    def _value(self, field: Field, depth: int) -> Any:
        if field.primitive:
            value = _VALUES[field.type]
            return self._told(value) if isinstance(value, str) else value
        if depth == 0:
            return None
        if field.type == "Reference":
            address = "urn:uuid:6bc55e39-55de-4b9c-9d70-2b6a0e96b4b8"
            return {"reference": address, "display": self._told("name {}")}
        inside = (field.type, "") if field.type else (field.owner, field.below)
        if not self.known.knows(inside[0]):
            return None
        made = self._object(*inside, depth - 1)
        return made if made.keys() - {"id"} else None
