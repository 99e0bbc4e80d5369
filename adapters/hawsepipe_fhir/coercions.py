"""Values of one type as values of another. A coercion records each leaf that it moves; what it leaves is counted lost.

`implied` is what a table need not say; `NAMED` is what a row asks for with `via`; `forced` is what a
row may do just by naming its target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hawsepipe import ConfigError
from hawsepipe_fhir import objects, primitives, spellings
from hawsepipe_fhir.bench import Convert
from hawsepipe_fhir.definitions import Field
from hawsepipe_fhir.tables import Row
from hawsepipe_fhir.workshop import Workshop

_NARROWER = {
    ("string", "id"), ("string", "uri"), ("string", "canonical"), ("string", "url"),
    ("unsignedInt", "positiveInt"),
    ("uri", "oid"), ("string", "oid"), ("markdown", "code"),
}  # fmt: skip
"""Pairs where most values fit as they are; a row must say so, and validation judges the value."""


def implied(workshop: Workshop, field: Field, final: Field) -> Convert | None:
    """Return the conversion between two types that says the same in the other's words, None when there is none."""
    pair = (field.type, final.type)
    if pair == ("Coding", "CodeableConcept"):
        return objects.concept(workshop, final)
    if final.primitive and field.type == "Reference" and final.type in ("canonical", "uri", "url"):
        return objects.address(workshop)
    return None


def forced(workshop: Workshop, field: Field, final: Field, row: Row) -> Convert | None:
    """Return the conversion that a row demands by naming its target."""
    pair = (field.type, final.type)
    if field.type in _NUMBERS and final.type == "string":
        return spellings.spelt(workshop, field, final)
    if pair in _NARROWER or (field.primitive and final.type in ("string", "markdown")):
        return primitives.same(workshop)
    for name, (source, target) in _PAIRS.items():
        if field.type in source and final.type in target:
            return NAMED[name](workshop, field, final)
    return None


NAMED: Mapping[str, Callable[[Workshop, Field, Field], Convert]] = {
    "annotation": objects.held("text", "Annotation"),
    "bare-coding": spellings.bare_coding,
    "bare-oid": spellings.bare_oid,
    "code-of": objects.code_of,
    "coding": objects.coding,
    "concept-text": objects.held("text", "CodeableConcept"),
    "date": spellings.date,
    "dicom-uid": spellings.uid,
    "end": objects.held("end", "Period"),
    "logical": objects.held("identifier", "Reference"),
    "reference": spellings.reference,
    "start": objects.held("start", "Period"),
    "start-of": objects.taken("start", "Period"),
    "spelt": spellings.spelt,
    "system": spellings.system,
    "text-of": objects.taken("text", "CodeableConcept"),
    "this-version": spellings.this_version,
    "to-reference": objects.held("reference", "Reference"),
    "uri-concept": spellings.uri_concept,
    "uri-identifier": spellings.urn,
    "value-of": objects.taken("value", "Identifier"),
    "whole-number": spellings.whole_number,
    "narrative": spellings.narrative,
    "quantity": objects.held("value", "Quantity"),
    "display": objects.held("display", "Reference"),
}
"""Conversions by the name that a row gives them."""

_NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
_STRINGS = frozenset({"string", "markdown"})
_PAIRS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "annotation": (_STRINGS, frozenset({"Annotation"})),
    "concept-text": (_STRINGS, frozenset({"CodeableConcept"})),
    "coding": (frozenset({"CodeableConcept"}), frozenset({"Coding"})),
    "logical": (frozenset({"Identifier"}), frozenset({"Reference"})),
    "start": (frozenset({"dateTime", "date", "instant"}), frozenset({"Period"})),
    "start-of": (frozenset({"Period"}), frozenset({"dateTime"})),
    "date": (frozenset({"dateTime", "instant"}), frozenset({"date"})),
    "to-reference": (frozenset({"uri", "canonical"}), frozenset({"Reference"})),
    "uri-identifier": (frozenset({"uri", "oid"}), frozenset({"Identifier"})),
    "value-of": (frozenset({"Identifier"}), _STRINGS),
    "quantity": (frozenset({"decimal", "integer"}), frozenset({"Quantity", "SimpleQuantity"})),
}


def named(name: str) -> Callable[[Workshop, Field, Field], Convert]:
    """Return a conversion by its name. Raises ConfigError when nothing is called so."""
    try:
        return NAMED[name]
    except KeyError as error:
        raise ConfigError("via", f"nothing is called {name}") from error
