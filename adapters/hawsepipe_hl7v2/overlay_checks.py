"""What is wrong with an overlay, in words for whoever wrote it: the place in the file and the reason.

Beyond the shape of the file (`overlay.schema.json`) it is asked whether a row can do what it says: the element exists,
is a list where the path appends, takes what the converter gives, and a code is one that R4 allows there. What a
converter gives is learned from where the shipped tables use it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import jsonschema
from referencing import Registry, Resource

from hawsepipe import ConfigError
from hawsepipe_hl7v2.compiler import Compiler
from hawsepipe_hl7v2.elements import Element, fault, found
from hawsepipe_hl7v2.tables import Table, Tables
from hawsepipe_schemas import load

Fault = tuple[str, str]
"""The place (`segments[0].targets[1].rows[2].to`) and the reason."""
_TEXTS = frozenset({"string", "markdown", "uri", "url", "canonical", "id", "code", "oid", "uuid"})
_SHAPES = {
    "name": "no segment name: three capital letters or digits, the first a letter (`ZPI`)",
    "field": "no field: the segment's name and a number (`ZPI-2`), with another one for a component (`ZPI-2.1`)",
    "path": "no path of elements (`name[].family`, `extension[<url>].valueString`)",
    "via": "no name of a converter (`CX`, `code:AdministrativeSex`)",
    "predicate": "no name of a condition: small letters with hyphens",
}
_RESERVED = {
    "id": "is made of what identifies the resource",
    "meta.security": "is what the server itself decides by its rules",
    "meta.versionId": "is the server's own",
    "meta.lastUpdated": "is the server's own",
}
_URLS = re.compile(r"(?:extension|modifierExtension)\[([^\]]+)\](?:\.extension\[([^\]]+)\])?")
"""The URL of an extension in a path, and the name of a part of it."""
_ABSOLUTE = re.compile(r"https?://[^\s<>\"]+|urn:[^\s<>\"]+")
_PART = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_KINDS = {
    "string": "text",
    "object": "a table",
    "array": "a list",
    "integer": "a whole number",
    "boolean": "true or false",
}


def faults(content: Mapping[str, Any], tables: Tables) -> Iterator[Fault]:
    """Yield what is wrong with an overlay, in the order of the file's parts."""
    wrong = list(complaints(_validator(), content))
    if wrong:
        yield from wrong
        return
    for name in content.get("tables", {}):
        if name in tables.codes:
            yield f"tables.{name}", "there is a code table of this name; add to it with `codes`"
            return
    own = {name: {"source": "", **table} for name, table in content.get("tables", {}).items()}
    tables = replace(tables, codes={**tables.codes, **own})
    yield from _codes(content, tables)
    compiler = Compiler(tables.datatypes, tables.codes)
    segments = content.get("segments", ())
    roles = _roles(tables, segments)
    for number, entry in enumerate(segments):
        where, name = f"segments[{number}]", entry["segment"]
        first = next(index for index, other in enumerate(segments) if other["segment"] == name)
        if first != number:
            yield f"{where}.segment", f"{name} is there already (segments[{first}]); one entry tells all of a segment"
        known = tables.segments.get(name, {"targets": []})
        for place, target in enumerate(entry.get("targets", ())):
            yield from _target(compiler, tables, (entry, known, target), roles, f"{where}.targets[{place}]")
        yield from _ignored(entry, known, where)


def complaints(validator: jsonschema.Draft202012Validator, content: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what a schema has against a document, without speaking of schemas."""
    for error in sorted(validator.iter_errors(content), key=lambda error: list(map(str, error.absolute_path))):
        yield from _told(error)


def _codes(content: Mapping[str, Any], tables: Tables) -> Iterator[Fault]:
    wanted = _bound(tables)
    for name, codes in content.get("codes", {}).items():
        if name not in tables.codes:
            yield f"codes.{name}", f"there is no such code table{_near(name, tables.codes)}"
            continue
        allowed = wanted.get(name)
        for key, target in codes.items():
            if allowed and target.rpartition("|")[2] not in allowed:
                told = f"{target} is none of the codes that R4 allows here: {', '.join(sorted(allowed))}"
                yield f"codes.{name}.{key}", told


def _bound(tables: Tables) -> dict[str, frozenset[str]]:
    """Return the codes that R4 allows where a code table is used for a `code` with a required value set."""
    sets: Mapping[str, Mapping[str, Sequence[str]]] = load("r4/value_sets.json")["facts"]
    wanted: dict[str, frozenset[str]] = {}
    for within, row in _rows(tables):
        name, _, table = row.get("via", "").partition(":")
        if name not in ("code", "known") or "to" not in row:
            continue
        element = found(within, row["to"])
        if element is not None and element.values in sets:
            codes = frozenset(code for told in sets[element.values].values() for code in told)
            wanted[table] = wanted.get(table, codes) & codes
    return wanted


def _rows(tables: Tables) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all shipped rows with the type that their path begins in."""
    for table in tables.segments.values():
        for target in table["targets"]:
            for row in target["rows"]:
                yield target["resource"], row
    for table in tables.datatypes.values():
        for row in table["rows"]:
            yield table["target"], row


@cache
def _shipped_gives() -> dict[str, frozenset[str]]:
    from hawsepipe_hl7v2.tables import shipped

    gives: dict[str, set[str]] = {}
    tables = shipped()
    for within, row in _rows(tables):
        element = found(within, row["to"]) if "to" in row else None
        if element is not None:
            gives.setdefault(row["via"].partition(":")[0], set()).add(element.type)
    for name, table in tables.datatypes.items():
        gives.setdefault(name, {table["target"]})
    gives["string"] = set(_TEXTS)
    gives.pop("constant", None)
    return {name: frozenset(types) for name, types in gives.items()}


def _roles(tables: Tables, segments: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the roles that a target can join, with the types of resource that play them."""
    roles: dict[str, set[str]] = {}
    for table in (*tables.segments.values(), *segments):
        for target in table.get("targets", ()):
            if "role" in target:
                roles.setdefault(target["role"], set()).add(target["resource"])
    return roles


def _target(
    compiler: Compiler,
    tables: Tables,
    told: tuple[Mapping[str, Any], Table, Mapping[str, Any]],
    roles: Mapping[str, set[str]],
    where: str,
) -> Iterator[Fault]:
    entry, known, target = told
    segment = entry["segment"]
    meant = [one for one in known["targets"] if same(one, target)]
    if not meant and ("joins" in target) == ("identity" in target):
        yield where, f"{segment} has no such target yet: a new one needs either joins or identity"
        return
    joins, resource = target.get("joins"), target["resource"]
    if joins is not None and not meant:
        if joins not in roles:
            yield f"{where}.joins", f"nothing has the role {joins}, so the rows would never run{_near(joins, roles)}"
        elif resource not in roles[joins]:
            kinds = " or ".join(sorted(roles[joins]))
            yield f"{where}.joins", f"the role {joins} is that of a {kinds}, not of a {resource}"
    read = {source.partition(".")[0] for one in meant for row in one.get("rows", ()) for source in _sources(row)}
    for place, field in enumerate(target.get("replace", ())):
        if field.partition(".")[0] not in read:
            yield f"{where}.replace[{place}]", f"no shipped row of this target reads {field}"
    moved: dict[tuple[Any, ...], int] = {}
    for number, row in enumerate(target.get("rows", ())):
        at = f"{where}.rows[{number}]"
        for source in _sources(row):
            if not source.startswith(f"{segment}-"):
                yield f"{at}.from", f"{source}: a row of {segment} moves a field of {segment}"
        key = (tuple(_sources(row)), row.get("to"), row.get("when"))
        if moved.setdefault(key, number) != number:
            yield at, f"the same move as rows[{moved[key]}]"
        yield from _row(compiler, tables, resource, row, at)


def _row(compiler: Compiler, tables: Tables, resource: str, row: Mapping[str, Any], at: str) -> Iterator[Fault]:
    try:
        compiler.row(row)
    except ConfigError as error:
        yield f"{at}.{error.key}", error.reason
        return
    if "to" not in row:
        return
    reason = fault(resource, row["to"]) or _forbidden(resource, row["to"])
    if reason is not None:
        yield f"{at}.to", reason
        return
    element = found(resource, row["to"])
    name, _, parameter = row["via"].partition(":")
    gives = _shipped_gives().get(name)
    if element is None:
        return
    if gives is not None and element.type not in gives:
        kinds = " or ".join(sorted(gives))
        yield f"{at}.via", f"{name} gives a {kinds}, and {element.name} is a {element.type}"
    elif name == "string" and element.values:
        yield f"{at}.via", f"{element.name} allows certain codes only; `code:Table` maps the sender's to them"
    elif name == "constant" and element.type[:1].isupper():
        yield f"{at}.via", f"a constant is no {element.type}"
    elif name == "code":
        yield from _targets(tables, parameter, element, at)


def _forbidden(resource: str, path: str) -> str | None:
    """Say why an overlay may not write there; None if it may. A MessageHeader is not stored: its labels are its own."""
    for start, reason in _RESERVED.items():
        if (resource, start) != ("MessageHeader", "meta.security") and (path + ".").startswith(
            (f"{start}.", f"{start}[")
        ):
            return f"{start} {reason}"
    for url, part in _URLS.findall(path):
        if not _ABSOLUTE.fullmatch(url) or (part and not _PART.fullmatch(part) and not _ABSOLUTE.fullmatch(part)):
            return f"an extension is named by a URL of https:, http: or urn:, which {_shown(part or url)} is not"
    return None


def _targets(tables: Tables, table: str, element: Element, at: str) -> Iterator[Fault]:
    """The codes of an overlay's own table against what the element allows."""
    sets: Mapping[str, Mapping[str, Sequence[str]]] = load("r4/value_sets.json")["facts"]
    allowed = {code for told in sets.get(element.values, {}).values() for code in told}
    entry = tables.codes[table]
    wrong = sorted(code for code in entry["codes"].values() if code.rpartition("|")[2] not in allowed)
    if allowed and wrong and not entry.get("table"):
        told = f"{element.name} allows {', '.join(sorted(allowed))} only; the table {table} gives {', '.join(wrong)}"
        yield f"{at}.via", told


def _ignored(entry: Mapping[str, Any], known: Table, where: str) -> Iterator[Fault]:
    """Fields that are left out and moved at once, or left out twice."""
    segment = entry["segment"]
    read = {
        int(source.partition("-")[2].partition(".")[0])
        for target in entry.get("targets", ())
        for row in target.get("rows", ())
        for source in _sources(row)
        if source.startswith(f"{segment}-")
    }
    seen: set[int] = set()
    for number, one in enumerate(entry.get("ignored", ())):
        field, at = one["field"], f"{where}.ignored[{number}].field"
        if field in read:
            yield at, f"{segment}-{field} is left out here and moved by a row of this file"
        if field in seen:
            yield at, f"{segment}-{field} is left out twice"
        seen.add(field)


def same(target: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether an overlay's target means this one: the resource, and the role or the one that it joins if told."""
    if target["resource"] != told["resource"]:
        return False
    return all(target.get(key) == told[key] for key in ("role", "joins", "identity") if key in told)


def _sources(row: Mapping[str, Any]) -> list[str]:
    source = row.get("from", ())
    return [source] if isinstance(source, str) else list(source)


def _told(error: Any) -> Iterator[Fault]:
    where, value = _place(error.absolute_path), error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        for name in sorted(set(value) - set(known)):
            listed = _near(name, known) or f" (known: {', '.join(sorted(known))})"
            yield f"{where}.{name}" if where else name, f"this key is not known here{listed}"
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in value:
                yield f"{where}.{name}" if where else name, "this key is required"
    elif error.validator in ("oneOf", "anyOf") and isinstance(value, Mapping):
        yield where, "a row needs a `from`, a `to`, or both"
    elif error.validator in ("oneOf", "anyOf", "pattern"):
        yield where, f"{_shown(value)} is {_shape(error)}"
    elif error.validator == "type":
        yield where, f"{_shown(value)} is not {_KINDS.get(str(error.validator_value), error.validator_value)}"
    elif error.validator == "enum":
        known = [str(one) for one in error.validator_value]
        yield where, f"{_shown(value)} is none of {', '.join(known)}{_near(str(value), known)}"
    elif error.validator in ("minLength", "minItems", "minProperties"):
        yield where, "this is empty"
    elif error.validator == "minimum":
        yield where, f"{value} is less than {error.validator_value}"
    else:
        yield where, error.message


def _shape(error: Any) -> str:
    if error.validator != "pattern":
        return _SHAPES["field"]
    shapes: Mapping[str, Any] = load("mapping-table.schema.json")["$defs"]
    for name, words in _SHAPES.items():
        if shapes[name].get("pattern") == error.validator_value:
            return words
    return "no URI: it begins with a scheme (`https:`, `urn:`) and has no blanks"


def _shown(value: Any) -> str:
    text = str(value)
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _place(path: Iterable[Any]) -> str:
    place = ""
    for step in path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    return place


@cache
def _validator() -> jsonschema.Draft202012Validator:
    rows = load("mapping-table.schema.json")
    registry: Registry[Any] = Registry().with_resource("mapping-table.schema.json", Resource.from_contents(rows))
    return jsonschema.Draft202012Validator(load("overlay.schema.json"), registry=registry)
