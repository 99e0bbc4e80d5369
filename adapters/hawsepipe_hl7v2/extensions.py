"""Extensions for what v2 tells and R4 has no element for: `extension:NAME/TYPE` in a row's `via`, or `extension:NAME`.

A row without a type gives text. Such a row appends `{"url": "urn:hawsepipe:extension:NAME", "value…": …}`, once for
each repetition.
"""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Leaf
from hawsepipe_hl7v2.paths import place

PREFIX = "urn:hawsepipe:extension:"
SUFFIXES = {
    "string": "String",
    "decimal": "Decimal",
    "positiveInt": "PositiveInt",
    "boolean": "Boolean",
    "dateTime": "DateTime",
    "date": "Date",
    "CodeableConcept": "CodeableConcept",
    "ContactPoint": "ContactPoint",
    "Money": "Money",
    "Period": "Period",
    "LicenseNumber": "Identifier",
    "EI": "Identifier",
    "CQ": "Quantity",
    "Practitioner": "Reference",
    "Organization": "Reference",
    "CodedOrganization": "Reference",
    "Location": "Reference",
    "AdministrationPlace": "Reference",
    "Interpreter": "Reference",
    "Privilege": "CodeableConcept",
}
"""What `value[x]` becomes by the converter; a data type table tells its own target."""


def extension(name: str, suffix: str, convert: Convert) -> Convert:
    """Return a converter that wraps what `convert` gives into an extension of that name."""
    key = f"value{suffix}"
    put = place(key)

    def wrapped(bench: Bench, raw: str, where: str) -> Converted | None:
        converted = convert(bench, raw, where)
        if converted is None:
            return None
        made: dict[str, Any] = {"url": PREFIX + name}
        written = put(made, converted[0])
        leaves: list[Leaf] = [(f".{written}{below}", source) for below, source in converted[1]]
        return made, leaves

    return wrapped


def note(target: dict[str, Any], name: str, suffix: str, value: Any) -> int:
    """Append an extension to an element in the making; return its index."""
    items: list[dict[str, Any]] = target.setdefault("extension", [])
    made: dict[str, Any] = {"url": PREFIX + name}
    place(f"value{suffix}")(made, value)
    items.append(made)
    return len(items) - 1
