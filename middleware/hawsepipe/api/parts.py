"""_summary and _elements (https://hl7.org/fhir/R4/search.html#summary, #elements): which part of a resource to show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.fhir.subset import Subset, Summary
from hawsepipe.model import Version

NAMES: Final = frozenset({"_summary", "_elements"})
"""The parameters."""


def wanted(pairs: Iterable[tuple[str, str]]) -> Subset:
    """Return what the parameters ask for. Raises InvalidRequest for another value, and for more than one of them."""
    given = [pair for pair in pairs if pair[0] in NAMES]
    if len(given) > 1:
        raise InvalidRequest("_summary and _elements do not go together, nor twice", location=given[1][0])
    for name, value in given:
        if name == "_summary":
            if value not in set(Summary):
                raise InvalidRequest("_summary is true, text, data, count or false", location=name)
            return Subset(Summary(value))
        elements = frozenset(part.strip() for part in value.split(","))
        if "" in elements:
            raise InvalidRequest("_elements names elements, with commas between", location=name)
        return Subset(elements=elements)
    return Subset()


def cut(versions: Sequence[Version], subset: Subset) -> Sequence[Version]:
    """Return versions with the wanted part of their content."""
    return versions if subset.whole else [_cut(version, subset) for version in versions]


def _cut(version: Version, subset: Subset) -> Version:
    if version.content is None:
        return version
    return replace(version, content=codec.encode(subset.of(codec.decode(version.content))))
