"""A naive search: every resource is looked at in memory, by the words of https://hl7.org/fhir/R4/search.html.

It shares no code with the search under test. From the definitions it takes the facts of each parameter alone
(expression, type, targets); expressions are evaluated over the JSON as they stand, values are read from the text.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import acos, cos, radians, sin
from typing import Any

from hawsepipe.fhir.definitions import Definitions, SearchParameter

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SPECIAL = "http://terminology.hl7.org/CodeSystem/special-values"
UCUM = "http://unitsofmeasure.org"
FOREVER = 2**62
CONTACTS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
CODE_SYSTEMS = {
    ("Patient", "gender"): "http://hl7.org/fhir/administrative-gender",
    ("Observation", "status"): "http://hl7.org/fhir/observation-status",
    ("Encounter", "status"): "http://hl7.org/fhir/encounter-status",
    ("DocumentReference", "relation"): "http://hl7.org/fhir/document-relationship-type",
}
"""Systems of codes by their required binding, as far as the queries name them."""

UNITS = {
    "mg": ("mass", Decimal("0.001")), "g": ("mass", Decimal(1)), "kg": ("mass", Decimal(1000)),
    "mg/dL": ("mass/volume", Decimal("0.01")), "g/L": ("mass/volume", Decimal(1)),
    "mm[Hg]": ("pressure", Decimal("133.322")), "kPa": ("pressure", Decimal(1000)),
}  # fmt: skip
"""What the quantities of the model are measured in, each in one unit of its dimension."""

SWAPPED = {("relationship", "relatesto"): "relation", ("relationship", "relation"): "relatesto"}
"""R4 names the components of this composite the wrong way round."""

Item = tuple[Any, str]
"""A value, and the type that the name of its element tells (`valueQuantity`), if any."""


@dataclass(frozen=True)
class Held:
    """A resource of the model, with its reference and the instant of its last change."""

    resource: Mapping[str, Any]
    last_updated: int

    @property
    def reference(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"


# -- expressions ------------------------------------------------------------------------------------------------------


def cut(text: str, separator: str) -> list[str]:
    """Split where the separator is in no parenthesis and no quotation."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "'"
        depth += (character == "(") - (character == ")")
        if character == separator and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def evaluate(expression: str, node: Any, root: Mapping[str, Any]) -> list[Item]:
    """Return what an expression gives of a resource, or of an element of it."""
    found: list[Item] = []
    for part in cut(expression, "|"):
        found += _path(part, node, root)
    return found


def _path(text: str, node: Any, root: Mapping[str, Any]) -> list[Item]:
    if " and " in text:  # `X.exists() and X != false`
        asked = _path(text.partition(" and ")[0].removesuffix(".exists()"), node, root)
        return [(any(value is not False for value, _ in asked), "boolean")]
    if text.startswith("(") and text.endswith(")") and len(cut(text[1:-1], "\0")) == 1 and _closed(text[1:-1]):
        return evaluate(text[1:-1], node, root)
    if " as " in text and _top(text, " as "):
        inner, _, name = text.rpartition(" as ")
        return _only(evaluate(inner, node, root), name.strip(" )"))
    steps = cut(text, ".")
    items: list[Item]
    if steps[0].startswith("("):
        items = _path(steps.pop(0), node, root)
    elif steps[0] == "%resource":
        steps.pop(0)
        items = [(root, root["resourceType"])]
    else:
        items = [(node, "")]
        if steps[0][0].isupper():
            head = steps.pop(0)
            if head not in ("Resource", "DomainResource", node.get("resourceType")):
                return []
    for step in steps:
        items = _step(step, items)
    return items


def _closed(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def _top(text: str, word: str) -> bool:
    place = text.rindex(word)
    return text[:place].count("(") == text[:place].count(")")


def _only(items: list[Item], name: str) -> list[Item]:
    wanted = name.lower()
    return [item for item in items if item[1].lower() == wanted]


def _step(step: str, items: list[Item]) -> list[Item]:
    call = re.fullmatch(r"(as|ofType|where|exists|extension)\((.*)\)", step)
    if call is None:
        name, _, index = step.partition("[")
        found = [child for value, _ in items for child in _children(value, name)]
        return found[int(index[:-1]) : int(index[:-1]) + 1] if index else found
    function, argument = call.groups()
    if function in ("as", "ofType"):
        return _only(items, argument)
    if function == "exists":
        return [(any(value is not False for value, _ in items), "boolean")]
    if function == "extension":
        return [it for it in _step("extension", items) if it[0].get("url") == argument.strip("'")]
    target = re.fullmatch(r"resolve\(\) is (\w+)", argument)
    if target is not None:
        return [it for it in items if isinstance(it[0], dict) and _names(it[0], target[1])]
    key, text = re.fullmatch(r"(\w+)\s*=\s*'(.*)'", argument).groups()  # type: ignore[union-attr]  # R4's own
    return [it for it in items if isinstance(it[0], dict) and it[0].get(key) == text]


def _names(reference: Mapping[str, Any], target: str) -> bool:
    return f"{target}/" in str(reference.get("reference", "")) or (reference.get("type") == target)


def _children(value: Any, name: str) -> Iterator[Item]:
    if not isinstance(value, dict):
        return
    for key, held in value.items():
        rest = key.removeprefix(name)
        if key == name or (rest != key and rest[:1].isupper() and name in ("value", "effective", "onset", "deceased",
                           "probability", "abatement", "performed", "occurrence", "medication")):  # fmt: skip
            kind = rest if key != name else ""
            for one in held if isinstance(held, list) else [held]:
                yield one, kind or (one.get("resourceType", "") if isinstance(one, dict) else "")


# -- values -----------------------------------------------------------------------------------------------------------


def fold(text: str) -> str:
    plain = "".join(it for it in unicodedata.normalize("NFKD", text) if not unicodedata.combining(it))
    return re.sub(r"\s+", " ", plain).strip().casefold()


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def interval(text: str) -> tuple[int, int]:
    """Return what a date covers, as [low, high)."""
    parts = re.fullmatch(r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(.*))?)?)?", text)
    assert parts is not None, text
    year, month, day, hour, minute, second, fraction, zone = parts.groups()
    start = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0),
                     tzinfo=UTC)  # fmt: skip
    if zone and zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        start = start - offset if zone[0] == "+" else start + offset
    low = micros(start)
    if fraction:
        width = 10 ** (6 - min(6, len(fraction) - 1))
        return low + int(fraction[1:7].ljust(6, "0")), low + int(fraction[1:7].ljust(6, "0")) + width
    if second:
        return low, low + 10**6
    if hour:
        return low, low + 60 * 10**6
    if day:
        return low, low + 86400 * 10**6
    days = calendar.monthrange(int(year), int(month))[1] if month else 365 + calendar.isleap(int(year))
    return low, low + days * 86400 * 10**6


def covered(value: Any) -> tuple[int, int] | None:
    """Return what an element of whatever type of date covers."""
    if isinstance(value, str):
        return interval(value)
    if "event" in value or "repeat" in value:
        spans = [interval(it) for it in value.get("event", [])]
        bounds = value.get("repeat", {}).get("boundsPeriod")
        spans += [covered(bounds)] if bounds else []  # type: ignore[list-item]  # a Period that has an end
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return None
    return interval(start)[0] if start else -FOREVER, interval(end)[1] if end else FOREVER


def prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if re.match(r"(eq|ne|gt|lt|ge|le|sa|eb|ap)", text) else ("eq", text)


def date_meets(text: str, span: tuple[int, int], now: int) -> bool:
    prefix, rest = prefixed(text)
    (low, high), (first, last) = interval(rest), span
    contains = low <= first and last <= high
    tenth = abs(now - low) // 10
    return {
        "eq": contains,
        "ne": not contains,
        "gt": last > high,
        "lt": first < low,
        "ge": last > high or contains,
        "le": first < low or contains,
        "sa": first >= high,
        "eb": last <= low,
        "ap": first < high + tenth and last > low - tenth,
    }[prefix]


def number_meets(text: str, found: Decimal, scale: Decimal = Decimal(1)) -> bool:
    """Compare a number, `scale` of whose units make one of those asked in."""
    prefix, rest = prefixed(text)
    asked = Decimal(rest)
    exponent = int(asked.as_tuple().exponent)
    half = Decimal(5).scaleb(exponent - (2 if exponent > 0 else 1))
    found = found * scale
    within = asked - half <= found < asked + half
    return {
        "eq": within,
        "ne": not within,
        "gt": found > asked,
        "sa": found > asked,
        "lt": found < asked,
        "eb": found < asked,
        "ge": found >= asked,
        "le": found <= asked,
        "ap": abs(found - asked) <= abs(asked) / 10,
    }[prefix]


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def escaped_cut(text: str, separator: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


# -- one parameter ----------------------------------------------------------------------------------------------------


def tokens(items: Sequence[Item], implied: str) -> Iterator[tuple[str, str]]:
    for value, _ in items:
        if isinstance(value, bool):
            yield SPECIAL, "true" if value else "false"
        elif isinstance(value, str):
            yield implied, value
        elif "coding" in value:
            for coding in value["coding"]:
                if "code" in coding:
                    yield coding.get("system", ""), coding["code"]
        elif isinstance(value.get("value"), str):
            contact = value.get("system") in CONTACTS
            yield value.get("use" if contact else "system", ""), value["value"]
        elif "code" in value:
            yield value.get("system", ""), value["code"]


def labels(items: Sequence[Item]) -> Iterator[str]:
    """Yield what people read of tokens."""
    for value, _ in items:
        if not isinstance(value, dict):
            continue
        concept = value.get("type", {}) if "value" in value and "coding" not in value else value
        for text in [
            concept.get("text"),
            concept.get("display"),
            *(it.get("display") for it in concept.get("coding", [])),
        ]:
            if isinstance(text, str):
                yield fold(text)


def strings(items: Sequence[Item]) -> Iterator[str]:
    for value, _ in items:
        if isinstance(value, str):
            yield value
        else:
            for key in ("text", "family", "given", "prefix", "suffix", "line", "city", "district", "state",
                        "postalCode", "country"):  # fmt: skip
                held = value.get(key, [])
                yield from [held] if isinstance(held, str) else held


def token_meets(text: str, found: tuple[str, str]) -> bool:
    parts = [unescaped(it) for it in escaped_cut(text, "|")]
    if len(parts) == 1:
        return found[1] == parts[0]
    return found[0] == parts[0] and parts[1] in ("", found[1])


def target_of(reference: str, base: str) -> str:
    """Return a reference without our address and without its version."""
    return re.sub(r"/_history/.*", "", reference.removeprefix(base + "/"))


class Oracle:
    """Searches a model. `codes` gives what value sets hold, and hierarchies by (system, code): what is below."""

    def __init__(
        self,
        definitions: Definitions,
        model: Sequence[Held],
        seen: Callable[[Held], bool],
        now: int,
        base: str,
        value_sets: Mapping[str, frozenset[tuple[str, str]]],
    ) -> None:
        self.definitions = definitions
        self.model = [it for it in model if seen(it)]
        self.by_reference = {it.reference: it for it in self.model}
        self.now = now
        self.base = base
        self.value_sets = value_sets

    def search(self, kind: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
        """Return the references of what matches, in the order asked for."""
        criteria = [it for it in pairs if it[0] not in ("_sort", "_include", "_revinclude")
                    and not it[0].startswith(("_include:", "_revinclude:"))]  # fmt: skip
        found = [it for it in self.model if it.resource["resourceType"] == kind]
        found = [it for it in found if all(self.meets(it, *pair) for pair in criteria)]
        for key in reversed(dict(pairs).get("_sort", "").split(",")):
            found = self.ordered(found, kind, key) if key else found
        return [it.reference for it in found]

    def ordered(self, found: list[Held], kind: str, key: str) -> list[Held]:
        code, down = key.removeprefix("-"), key.startswith("-")
        valued = [(self.sort_value(it, kind, code, down), it) for it in found]
        having = sorted((it for it in valued if it[0] is not None), key=lambda it: it[0], reverse=down)
        return [it for _, it in having] + [it for value, it in valued if value is None]

    def sort_value(self, held: Held, kind: str, code: str, down: bool) -> Any:
        if code == "_lastUpdated":
            return held.last_updated
        parameter = self.parameter(kind, code)
        items = self.items(held, parameter)
        pick = max if down else min
        found: list[Any]
        match parameter.kind.value:
            case "token":
                found = [it[1] for it in tokens(items, "")]
            case "string":
                found = [fold(it) for it in strings(items)]
            case "date":
                found = [span[1 if down else 0] for value, _ in items if (span := covered(value)) is not None]
            case "reference":
                named = [target_of(it["reference"], self.base) for it, _ in items if "reference" in it]
                found = [it if "://" in it else it.partition("/")[2] for it in named]
            case _:
                found = [Decimal(str(it["value"] if isinstance(it, dict) else it)) for it, _ in items]
        return pick(found) if found else None

    def parameter(self, kind: str, code: str) -> SearchParameter:
        return self.definitions.search_parameters(kind)[code]

    def items(self, held: Held, parameter: SearchParameter) -> list[Item]:
        return evaluate(parameter.expression, held.resource, held.resource) if parameter.expression else []

    def meets(self, held: Held, name: str, value: str) -> bool:
        kind = held.resource["resourceType"]
        if name == "_list":
            return self.meets(held, "_has:List:item:_id", value)
        if name.startswith("_has:"):
            _, source, code, rest = name.split(":", 3)
            return any(
                held.reference in self.targets(it, code)
                for it in self.model
                if it.resource["resourceType"] == source and self.meets(it, rest, value)
            )
        head, dot, rest = name.partition(".")
        if dot:
            code, _, only = head.partition(":")
            reached = [self.by_reference[it] for it in self.targets(held, code) if it in self.by_reference]
            return any(
                self.known(it.resource["resourceType"], rest) and self.meets(it, rest, value)
                for it in reached
                if only in ("", it.resource["resourceType"])
            )
        code, _, modifier = name.partition(":")
        return self.plain(held, kind, code, modifier, value)

    def known(self, kind: str, name: str) -> bool:
        code = re.split(r"[.:]", name)[0]
        return code in ("_has", "_list") or code in self.definitions.search_parameters(kind)

    def targets(self, held: Held, code: str) -> set[str]:
        parameter = self.parameter(held.resource["resourceType"], code)
        return {
            target_of(value["reference"], self.base)
            for value, _ in self.items(held, parameter)
            if isinstance(value, dict) and "reference" in value
        }

    def plain(self, held: Held, kind: str, code: str, modifier: str, value: str) -> bool:
        parameter = self.parameter(kind, code)
        if code == "_lastUpdated":
            span = (held.last_updated, held.last_updated + 1)
            return any(date_meets(unescaped(it), span, self.now) for it in escaped_cut(value, ","))
        items = self.items(held, parameter)
        if modifier == "missing":
            return (value == "true") == (not self.indexable(parameter, items))
        if modifier == "not":
            return not self.plain(held, kind, code, "", value)
        if modifier in ("in", "not-in"):
            members = self.value_sets[value]
            return (modifier == "in") == any(it in members for it in tokens(items, CODE_SYSTEMS.get((kind, code), "")))
        return any(self.one(held, parameter, kind, items, modifier, part) for part in escaped_cut(value, ","))

    def indexable(self, parameter: SearchParameter, items: Sequence[Item]) -> bool:
        match parameter.kind.value:
            case "token":
                return any(True for _ in tokens(items, ""))
            case "date":
                return any(covered(value) is not None for value, _ in items)
            case "reference":
                return any("reference" in value for value, _ in items if isinstance(value, dict))
            case "quantity":
                return any(isinstance(value, dict) and "value" in value for value, _ in items)
            case _:
                return bool(items)

    def one(self, held: Held, parameter: SearchParameter, kind: str, items: Sequence[Item], modifier: str,
            text: str) -> bool:  # fmt: skip
        plain = unescaped(text)
        match parameter.kind.value:
            case "composite":
                return self.composite(held, parameter, kind, text)
            case "special":
                return any(near(plain, value) for value, _ in items)
            case "token":
                if modifier == "text":
                    return any(it.startswith(fold(plain)) for it in labels(items))
                if modifier == "of-type":
                    system, code, number = text.split("|")
                    return any(
                        it.get("value") == number
                        and any(
                            (c.get("system"), c.get("code")) == (system, code)
                            for c in it.get("type", {}).get("coding", [])
                        )
                        for it, _ in items
                    )
                found = list(tokens(items, CODE_SYSTEMS.get((kind, parameter.code), "")))
                if modifier in ("above", "below"):
                    system, code = text.split("|")
                    ask = self.definitions.descendants if modifier == "below" else self.definitions.ancestors
                    return any(it[0] == system and it[1] in ask(system, code) for it in found)
                return any(token_meets(text, it) for it in found)
            case "string":
                if parameter.code in ("_text", "_content"):
                    return has_words(held.resource, parameter.code, plain)
                if modifier == "exact":
                    return plain in strings(items)
                if modifier == "contains":
                    return any(fold(plain) in fold(it) for it in strings(items))
                return any(fold(it).startswith(fold(plain)) for it in strings(items))
            case "reference":
                return any(self.refers(parameter, value, modifier, text) for value, _ in items)
            case "date":
                spans = [span for value, _ in items if (span := covered(value)) is not None]
                return any(date_meets(plain, span, self.now) for span in spans)
            case "number":
                return any(number_meets(plain, Decimal(str(value))) for value, _ in items)
            case "quantity":
                return any(quantity_meets(text, value) for value, _ in items if "value" in value)
            case _:
                return any(uri_meets(plain, value, modifier) for value, _ in items)

    def refers(self, parameter: SearchParameter, value: Any, modifier: str, text: str) -> bool:
        if not isinstance(value, dict):
            return unescaped(text) in (value, value.partition("|")[0])
        if modifier == "identifier":
            identifier = value.get("identifier", {})
            return "value" in identifier and token_meets(text, (identifier.get("system", ""), identifier["value"]))
        if "reference" not in value:
            return False
        target, asked = target_of(value["reference"], self.base), target_of(unescaped(text), self.base)
        if "/" in asked:
            return target == asked
        local = re.fullmatch(r"(\w+)/([\w\-.]+)", target)
        only = modifier or (parameter.targets[0] if len(parameter.targets) == 1 else "")
        return local is not None and local[2] == asked and only in ("", local[1])

    def composite(self, held: Held, parameter: SearchParameter, kind: str, text: str) -> bool:
        parts = escaped_cut(text, "$")
        for value, _ in evaluate(parameter.expression, held.resource, held.resource):
            if all(
                self.one(held, inner, kind, evaluate(expression, value, held.resource), "", part)
                for (code, expression), part in zip(parameter.components, parts, strict=True)
                for inner in [self.parameter(kind, SWAPPED.get((parameter.code, code), code))]
            ):
                return True
        return False

    # -- includes --

    def included(self, pairs: Sequence[tuple[str, str]], matches: Sequence[str]) -> set[str]:
        """Return what comes beside matches, by their references."""
        asked = [it for it in pairs if it[0].partition(":")[0] in ("_include", "_revinclude")]
        found = {new for pair in asked for new in self.beside(*pair, matches)} - set(matches)
        again = [it for it in asked if it[0].endswith(":iterate")]
        while True:
            new = {it for pair in again for it in self.beside(*pair, [*found, *matches])} - found - set(matches)
            if not new:
                return found
            found |= new

    def beside(self, name: str, value: str, of: Sequence[str]) -> Iterator[str]:
        source, code, *target = value.split(":") if value != "*" else ("*", "*")
        for one in self.model:
            kind = one.resource["resourceType"]
            if source not in ("*", kind):
                continue
            codes = (
                [code]
                if code != "*"
                else [
                    it.code for it in self.definitions.search_parameters(kind).values() if it.kind.value == "reference"
                ]
            )
            named = {
                it
                for held in codes
                if held in self.definitions.search_parameters(kind)
                for it in self.targets(one, held)
            }
            named = {it for it in named if not target or it.startswith(f"{target[0]}/")}
            if name.startswith("_include") and one.reference in of:
                yield from (it for it in named if it in self.by_reference)
            elif name.startswith("_revinclude") and named & set(of):
                yield one.reference


def quantity_meets(text: str, value: Mapping[str, Any]) -> bool:
    number, *unit = escaped_cut(text, "|")
    found = Decimal(str(value["value"]))
    if not unit or unit == ["", ""]:
        return number_meets(number, found)
    system, code = unit
    if not system:
        return code in (value.get("code"), value.get("unit")) and number_meets(number, found)
    if system != value.get("system"):
        return False
    if not code or code == value.get("code"):
        return number_meets(number, found)
    (asked, factor), (dimension, own) = (
        UNITS.get(code, ("?", Decimal(1))),
        UNITS.get(value.get("code", ""), ("!", Decimal(1))),
    )
    return system == UCUM and asked == dimension and number_meets(number, found, own / factor)


def uri_meets(asked: str, found: str, modifier: str) -> bool:
    if modifier == "below":
        return (found + "/").startswith(asked.rstrip("/") + "/")
    if modifier == "above":
        return (asked + "/").startswith(found.rstrip("/") + "/") and found.rstrip("/").count("/") >= 2
    return asked in (found, found.partition("|")[0])


def near(text: str, position: Mapping[str, Any]) -> bool:
    north, east, distance, unit = (*text.split("|"), "", "")[:4]
    metres = float(distance or 50) * (1000 if unit in ("km", "") else 1)
    first, second = radians(float(north)), radians(float(position["latitude"]))
    between = cos(radians(float(position["longitude"]) - float(east)))
    angle = sin(first) * sin(second) + cos(first) * cos(second) * between
    return 6_371_008.8 * acos(max(-1.0, min(1.0, angle))) <= metres


def has_words(resource: Any, code: str, text: str) -> bool:
    def every(node: Any) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from every(child)

    own = {key: held for key, held in resource.items() if key not in ("id", "meta", "resourceType")}
    told = [resource.get("text", {}).get("div", "")] if code == "_text" else list(every(own))
    held = re.findall(r"\w+", fold(re.sub(r"<[^>]*>", " ", " ".join(told))))
    return all(word in held for word in re.findall(r"\w+", fold(text)))
