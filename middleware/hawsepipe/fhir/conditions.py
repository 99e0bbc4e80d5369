"""One criterion of a search, from its name and value: plain, chained, reverse chained (`_has`) or a list (`_list`).

https://hl7.org/fhir/R4/search.html#chaining, #has, #modifiers. A modifier or value that cannot be honoured is refused;
a name that is no parameter of the type is told to the caller, who decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Final

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import content, values
from hawsepipe.fhir.codes import Codes
from hawsepipe.fhir.definitions import Definitions, SearchParameter
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.query import (
    Chain,
    Clause,
    CompositeValue,
    Condition,
    Kind,
    MissingValue,
    Modifier,
    ReferenceValue,
    Reverse,
    TokenValue,
    Value,
)

MODIFIERS: Final[Mapping[Kind, frozenset[Modifier]]] = {
    Kind.TOKEN: frozenset(
        {
            Modifier.MISSING,
            Modifier.NOT,
            Modifier.TEXT,
            Modifier.OF_TYPE,
            Modifier.IN,
            Modifier.NOT_IN,
            Modifier.ABOVE,
            Modifier.BELOW,
        }
    ),
    Kind.STRING: frozenset({Modifier.MISSING, Modifier.EXACT, Modifier.CONTAINS}),
    Kind.REFERENCE: frozenset({Modifier.MISSING, Modifier.IDENTIFIER}),
    Kind.DATE: frozenset({Modifier.MISSING}),
    Kind.NUMBER: frozenset({Modifier.MISSING}),
    Kind.QUANTITY: frozenset({Modifier.MISSING}),
    Kind.URI: frozenset({Modifier.MISSING, Modifier.ABOVE, Modifier.BELOW}),
    Kind.COMPOSITE: frozenset(),
    Kind.SPECIAL: frozenset(),
}
"""What each type of parameter takes, beside the types that a reference may name."""

DEEPEST: Final = 3
"""Steps of a chain, forward and back."""

_HAS: Final = "_has"
_MOST_CODES: Final = 20_000


class Conditions:
    """Reads criteria. `codes` knows the value sets and hierarchies that `:in`, `:above` and `:below` ask for."""

    def __init__(self, definitions: Definitions, base_url: str, codes: Codes) -> None:
        self._definitions = definitions
        self._base = base_url.rstrip("/")
        self._codes = codes
        self._extractor = Extractor(definitions, base_url)
        self._known: dict[str, Mapping[str, SearchParameter]] = {}

    def knowing(self, codes: Codes) -> Conditions:
        """Return what reads the same criteria with other value sets and hierarchies."""
        other = copy(self)
        other._codes = codes
        return other

    def parameters(self, kind: str) -> Mapping[str, SearchParameter]:
        """Return the parameters that a search on a type takes, by code."""
        known = self._known.get(kind)
        if known is None:
            indexed = {it.code for it in self._extractor.supported(kind)}
            known = self._known[kind] = {
                code: it
                for code, it in sorted(self._definitions.search_parameters(kind).items())
                if code in indexed or content.searched_by_content(it)
            }
        return known

    def read(self, kind: str, name: str, value: str, depth: int = 0) -> Condition | None:
        """Return the criterion of a search on a type, None when there is no such parameter.

        Raises InvalidRequest whose `location` is the whole name.
        """
        if depth > DEEPEST:
            raise InvalidRequest(f"a chain may have {DEEPEST} steps", location=_HAS)
        if name == "_list":
            return self._list(value)
        if name.partition(":")[0] == _HAS:
            return self._has(kind, name, value, depth)
        head, dot, rest = name.partition(".")
        if dot:
            return self._chain(kind, head, rest, value, depth)
        return self._clause(kind, name, value)

    def _list(self, value: str) -> Condition:
        try:
            ids = tuple(TokenValue(None, values.plain(part)) for part in values.split(value, ","))
        except ValueError as error:
            raise InvalidRequest(f"the value of _list {error}", location="_list") from None
        return Reverse("List", "item", Clause("_id", Kind.TOKEN, None, ids))

    def _has(self, kind: str, name: str, value: str, depth: int) -> Condition | None:
        parts = name.split(":", 3)
        if len(parts) < 4 or parts[1] not in self._definitions.resource_types:
            return None
        _, source, code, rest = parts
        parameter = self.parameters(source).get(code)
        if parameter is None or parameter.kind is not Kind.REFERENCE:
            return None
        if parameter.targets and kind not in parameter.targets:
            raise InvalidRequest("_has goes by a reference that never names this type", location=_HAS)
        inner = self.read(source, rest, value, depth + 1)
        return None if inner is None else Reverse(source, code, inner)

    def _chain(self, kind: str, head: str, rest: str, value: str, depth: int) -> Condition | None:
        code, colon, only = head.partition(":")
        parameter = self.parameters(kind).get(code)
        if parameter is None or parameter.kind is not Kind.REFERENCE:
            return None
        targets = parameter.targets or tuple(sorted(self._definitions.resource_types))
        if colon:
            if only not in self._definitions.resource_types:
                return None
            if only not in targets:
                raise InvalidRequest("the chain goes by a reference that never names this type", location=code)
            targets = (only,)
        found: list[tuple[str, Condition]] = []
        refused: InvalidRequest | None = None
        for target in targets:
            try:
                inner = self.read(target, rest, value, depth + 1)
            except InvalidRequest as error:  # the value may suit the parameter of another type
                refused = error
                continue
            if inner is not None:
                found.append((target, inner))
        if not found:
            if refused is not None:
                raise refused
            return None
        return Chain(code, tuple(found))

    def _clause(self, kind: str, name: str, value: str) -> Clause | None:
        code, _, suffix = name.partition(":")
        parameter = self.parameters(kind).get(code)
        if parameter is None:
            return None
        modifier, target = self._modifier(kind, parameter, name, suffix)
        try:
            if modifier in (Modifier.IN, Modifier.NOT_IN):
                # A value set's address may have no comma; it is one value.
                return self._in(code, modifier, values.split(value, ","))
            read = self._reader(kind, parameter, modifier, target)
            found = tuple(it for part in values.split(value, ",") for it in read(part))
        except ValueError as error:
            raise InvalidRequest(f"the value of {name} {error}", location=name) from None
        if modifier is Modifier.ABOVE or (modifier is Modifier.BELOW and parameter.kind is Kind.TOKEN):
            modifier = None  # the values are all that there is above or below
        return Clause(code, parameter.kind, modifier, found)

    def _modifier(
        self, kind: str, parameter: SearchParameter, name: str, suffix: str
    ) -> tuple[Modifier | None, str | None]:
        if not suffix:
            only = parameter.targets[0] if len(parameter.targets) == 1 else None
            return None, only
        if parameter.kind is Kind.REFERENCE and suffix in self._definitions.resource_types:
            return None, suffix
        if (
            suffix in set(Modifier)
            and Modifier(suffix) in MODIFIERS[parameter.kind]
            and parameter.code not in content.WORDS
            and (suffix != Modifier.OF_TYPE or content.has_identifiers(kind, parameter.code))
        ):
            return Modifier(suffix), None
        raise InvalidRequest(f"{name}: the modifier is not supported", location=name)  # the caller shows it or not

    def _in(self, code: str, modifier: Modifier, parts: Sequence[str]) -> Clause:
        found: dict[Value, None] = {}
        for part in parts:
            members = self._codes.members(values.plain(part))
            if members is None:
                raise ValueError("is not a value set that is known here and can be enumerated")
            found |= dict.fromkeys(TokenValue(system, member) for system, member in members)
        if len(found) > _MOST_CODES:
            raise ValueError("has more codes than a search takes")
        return Clause(code, Kind.TOKEN, Modifier.NOT if modifier is Modifier.NOT_IN else None, tuple(found))

    def _reader(
        self, kind: str, parameter: SearchParameter, modifier: Modifier | None, target: str | None
    ) -> Callable[[str], Sequence[Value]]:
        one: Callable[[str], Value]
        if modifier is Modifier.MISSING:
            one = _missing
        elif modifier is Modifier.IDENTIFIER:
            one = values.token
        elif modifier is Modifier.TEXT:
            one = values.string
        elif modifier is Modifier.OF_TYPE:
            one = values.of_type
        elif modifier in (Modifier.ABOVE, Modifier.BELOW) and parameter.kind is Kind.TOKEN:
            return lambda part: self._related(values.token(part), modifier)
        elif modifier is Modifier.ABOVE:
            return values.uris_above
        elif modifier is Modifier.BELOW:
            one = values.url
        elif parameter.kind is Kind.QUANTITY:
            return values.quantities
        elif parameter.kind is Kind.COMPOSITE:
            return lambda part: (self._composite(kind, parameter, part),)
        elif parameter.kind is Kind.REFERENCE:
            one = self._reference(target)
        else:
            one = values.READERS[parameter.kind]
        return lambda part: (one(part),)

    def _reference(self, target: str | None) -> Callable[[str], ReferenceValue]:
        return lambda part: values.reference(part, self._base, target, self._definitions.resource_types)

    def _related(self, value: TokenValue, modifier: Modifier) -> Sequence[Value]:
        if not value.system or value.code is None:
            raise ValueError("is not system|code, which this modifier needs")
        ask = self._codes.below if modifier is Modifier.BELOW else self._codes.above
        found = ask(value.system, value.code)
        if found is None:
            raise ValueError("is of a code system whose hierarchy is not known here")
        return [replace(value, code=code) for code in sorted(found)]

    def _composite(self, kind: str, parameter: SearchParameter, text: str) -> CompositeValue:
        pieces = values.split(text, "$")
        if len(pieces) != len(parameter.components):
            raise ValueError(f"has not {len(parameter.components)} parts, with $ between")
        parts: list[Clause] = []
        for inner, piece in zip(content.component_parameters(kind, parameter.code), pieces, strict=True):
            only = inner.targets[0] if len(inner.targets) == 1 else None
            parts.append(Clause(inner.code, inner.kind, None, tuple(self._reader(kind, inner, None, only)(piece))))
        return CompositeValue(tuple(parts))


def _missing(part: str) -> MissingValue:
    if part not in ("true", "false"):
        raise ValueError("is not true or false")
    return MissingValue(part == "true")
