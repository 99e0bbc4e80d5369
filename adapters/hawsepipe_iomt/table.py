"""The file of device templates: read once, checked against its schema, made values.

A template is data; nothing in it is an expression.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path as File
from typing import Any

import jsonschema

from hawsepipe import ConfigError, MessageError
from hawsepipe_iomt import codes, units
from hawsepipe_iomt.payloads import Path, path_of
from hawsepipe_iomt.templates import Book, Measure, Template, Window
from hawsepipe_schemas import load

_LATENESS, _IDLE = 5, 60
_MOST_SAMPLES = 100_000


def read(path: File, key: str) -> Book:
    """Read a file of templates. Raises ConfigError about the setting `key`."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise ConfigError(key, f"{path} cannot be read ({error})") from error
    problems = [ConfigError(f"{key}: {where}", reason) for where, reason in _problems(document)]
    if problems:
        raise ConfigError(problems[0].key, problems[0].reason, problems[1:])
    told = json.dumps(document, sort_keys=True, default=str).encode()
    tables = json.dumps([load("iomt/mdc.json"), load("iomt/units.json")], sort_keys=True).encode()
    return Book([_template(row) for row in document["templates"]], sha256(told + sha256(tables).digest()).digest())


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(load("device-templates.schema.json"))


def _problems(document: Any) -> Iterator[tuple[str, str]]:
    wrong = False
    for error in _validator().iter_errors(json.loads(json.dumps(document, default=float))):
        wrong = True
        yield ".".join(str(step) for step in error.absolute_path) or "templates", error.message
    if wrong:
        return
    names = [row["name"] for row in document["templates"]]
    for number_, row in enumerate(document["templates"]):
        where = f"templates.{number_}"
        if names.count(row["name"]) > 1:
            yield f"{where}.name", f"{row['name']} is there twice"
        yield from ((f"{where}.{part}", reason) for part, reason in _row_problems(row))


def _row_problems(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    levels = row["topic"].split("/")
    if "#" in levels[:-1] or any(set("+#") & set(level) and len(level) > 1 for level in levels):
        yield "topic", "this is no topic filter: + and # stand alone, # at the end"
    device = row.get("device", "{device}")
    if path_of(device) is None and device not in levels:
        yield "device", f"{device} is neither a path nor a level of the topic"
    measures = row.get("components", [row])
    for part in ([row] if "components" in row else []) + list(measures):
        if isinstance(part["code"], str):
            try:
                codes.concept(part["code"])
            except KeyError:
                yield "code", f"{part['code']} is not in the table of reference ids; give codings instead"
    for part in measures:
        yield from _unit_problems(part)
    if "window" in row:
        window = row["window"]
        if row.get("time") is None:
            yield "time", "a window needs the time of each reading"
        micros = Decimal(str(window["period_ms"])) * 1000
        if micros % 1 or (window["seconds"] * 1_000_000) % micros:
            yield "window.period_ms", "a window must hold a whole number of samples, each of whole microseconds"
        elif window["seconds"] * 1_000_000 / micros > _MOST_SAMPLES:
            yield "window.seconds", f"a window may hold {_MOST_SAMPLES} samples at most"


def _unit_problems(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    wanted = part.get("result_unit") or codes.usual_unit(part["code"])
    unit = part.get("unit", wanted)
    if unit is None:
        yield "unit", "is missing, and the code has no usual one"
    elif wanted is None and unit.startswith("$"):
        yield "result_unit", "is missing: where the payload says the unit, the Observation's must be told here"
    elif wanted and path_of(unit) is None and units.ucum(unit) != units.ucum(wanted):
        try:
            mass = Decimal(str(part["molar_mass"])) if "molar_mass" in part else None
            units.converted(Decimal(1), unit, wanted, mass, "unit")
        except MessageError as error:
            yield "unit", f"{unit} cannot be converted to {wanted}: {error.reason}"


def _template(row: Mapping[str, Any]) -> Template:
    device = row.get("device", "{device}")
    texts = row.get("text_numbers", False)
    several = "components" in row
    return Template(
        name=row["name"],
        topic=row["topic"],
        levels=tuple(row["topic"].split("/")),
        format=row.get("format", "json"),
        match=tuple((_path(path), value) for path, value in row.get("match", {}).items()),
        device=device[1:-1] if path_of(device) is None else _path(device),
        patient=(row["patient"]["system"], _path(row["patient"]["value"])) if "patient" in row else None,
        time=_path(row["time"]) if "time" in row else None,
        time_format=row.get("time_format", "iso"),
        sequence=_path(row["sequence"]) if "sequence" in row else None,
        category=row.get("category", "vital-signs") or None,
        panel=codes.concept(row["code"]) if several else None,
        measures=tuple(_measure(part, texts) for part in row.get("components", [row])),
        window=_window(row["window"]) if "window" in row else None,
    )


def _window(row: Mapping[str, Any]) -> Window:
    period = int(Decimal(str(row["period_ms"])) * 1000)
    return Window(
        period=period,
        count=row["seconds"] * 1_000_000 // period,
        lateness=int(row.get("lateness_seconds", _LATENESS) * 1_000_000),
        idle=int(row.get("idle_seconds", _IDLE) * 1_000_000),
    )


def _measure(row: Mapping[str, Any], texts: bool) -> Measure:
    result = row.get("result_unit") or codes.usual_unit(row["code"])
    told = row.get("unit", result)
    low, high = (Decimal(str(bound)) for bound in row["range"]) if "range" in row else (None, None)
    return Measure(
        concept=codes.concept(row["code"]),
        value=_path(row["value"]),
        place=row["value"],
        unit=path_of(told) or told,
        result_unit=units.ucum(result or told),
        low=low,
        high=high,
        molar_mass=Decimal(str(row["molar_mass"])) if "molar_mass" in row else None,
        text_numbers=texts,
    )


def _path(text: str) -> Path:
    path = path_of(text)
    assert path is not None, "the schema has checked it"
    return path
