"""Overlays: what is special about single senders, as files in a directory, laid over the shipped tables.

A file is TOML (`overlay.schema.json`): whose messages, their time zone and character set, naming systems, codes of
their own, rows for segments. Overlays whose sender fits are laid over one another in the order of their file names; a
later one wins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource

from hawsepipe import ConfigError
from hawsepipe_hl7v2.compiler import Compiler
from hawsepipe_hl7v2.elements import fault
from hawsepipe_hl7v2.naming import Naming
from hawsepipe_hl7v2.tables import Table, Tables
from hawsepipe_schemas import load

_SETTINGS = ("timezone", "charset")


@dataclass(frozen=True, slots=True)
class Overlay:
    """One file: its name for people and its content, checked."""

    name: str
    content: Mapping[str, Any]

    def fits(self, application: str, facility: str) -> bool:
        """Whether the messages of this sender (MSH-3.1, MSH-4.1) are meant."""
        sender = self.content["sender"]
        return fnmatchcase(application, sender.get("application", "*")) and fnmatchcase(
            facility, sender.get("facility", "*")
        )

    def over(self, tables: Tables, naming: Naming) -> Tables:
        """Return the tables with this overlay's segments and codes."""
        segments = dict(tables.segments)
        for entry in self.content.get("segments", ()):
            name = entry["segment"]
            segments[name] = _segment(segments.get(name, {"segment": name, "targets": []}), entry)
        codes = dict(with_tables(tables, self.content).codes)
        for name, told in self.content.get("codes", {}).items():
            own, known = _local(told, naming), codes[name]
            bare = {code: target for code, target in told.items() if "|" not in code}
            codes[name] = {
                **known,
                "codes": {**known["codes"], **bare},
                "local": {**known.get("local", {}), **own},
            }
        return replace(tables, segments=segments, codes=codes)

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with this overlay's zone, character set and systems."""
        own = {name: self.content[name] for name in _SETTINGS if name in self.content}
        return {**settings, **own, "systems": {**settings["systems"], **self.content.get("systems", {})}}


def read(directory: Path, tables: Tables) -> tuple[Overlay, ...]:
    """Return the overlays of a directory (`*.toml`), by name. Raises ConfigError for the first fault; see `faults`."""
    try:
        files = sorted(directory.glob("*.toml"))
        if not directory.is_dir():
            raise ConfigError("overlays", f"{directory} is not a directory")
    except OSError as error:
        raise ConfigError("overlays", f"{directory} cannot be read") from error
    found: list[Overlay] = []
    for file in files:
        content = _content(file)
        for place, reason in faults(content, tables):
            raise ConfigError(f"overlays: {file.name}: {place}" if place else f"overlays: {file.name}", reason)
        found.append(Overlay(file.name, content))
    return tuple(found)


def _content(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"overlays: {file.name}", "the file cannot be read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"overlays: {file.name}", "the file is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # Its words name the line and nothing of the content but a character.
        raise ConfigError(f"overlays: {file.name}", f"not TOML: {error}") from error


def faults(content: Mapping[str, Any], tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with an overlay as (place, reason); places as `segments[0].targets[1].rows[2].to`."""
    wrong = False
    for error in sorted(_validator().iter_errors(content), key=lambda error: list(map(str, error.absolute_path))):
        wrong = True
        yield _place(error.absolute_path), error.message
    if wrong:
        return
    for name in content.get("tables", {}):
        if name in tables.codes:
            yield f"tables.{name}", "there is a code table of this name; add to it with `codes`"
            return
    tables = with_tables(tables, content)
    for name in content.get("codes", {}):
        if name not in tables.codes:
            yield f"codes.{name}", "there is no such code table"
    compiler = Compiler(tables.datatypes, tables.codes)
    for number, entry in enumerate(content.get("segments", ())):
        known = tables.segments.get(entry["segment"], {"targets": []})
        for place, target in enumerate(entry.get("targets", ())):
            where = f"segments[{number}].targets[{place}]"
            yield from _target_faults(compiler, entry["segment"], known, target, where)


def with_tables(tables: Tables, content: Mapping[str, Any]) -> Tables:
    """Return the tables with the code tables that an overlay brings."""
    own = {
        name: {"source": "", "codes": {}, **table, "local": table["codes"]}
        for name, table in content.get("tables", {}).items()
    }
    return replace(tables, codes={**tables.codes, **own})


def _target_faults(
    compiler: Compiler, segment: str, known: Table, target: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str]]:
    if not any(_same(one, target) for one in known["targets"]) and ("joins" in target) == ("identity" in target):
        yield where, f"{segment} has no such target yet: a new one needs either joins or identity"
        return
    for number, row in enumerate(target.get("rows", ())):
        at = f"{where}.rows[{number}]"
        sources = [row["from"]] if isinstance(row.get("from"), str) else row.get("from", [])
        if any(not source.startswith(f"{segment}-") for source in sources):
            yield f"{at}.from", f"a row of {segment} moves a field of {segment}"
        if "to" in row and (reason := fault(target["resource"], row["to"])) is not None:
            yield f"{at}.to", reason
        try:
            compiler.row(row)
        except ConfigError as error:
            yield f"{at}.{error.key}", error.reason


def _segment(known: Table, entry: Mapping[str, Any]) -> Table:
    """Return a segment's table with the targets and rows of an overlay."""
    targets = [dict(target) for target in known["targets"]]
    for told in entry.get("targets", ()):
        given = {key: value for key, value in told.items() if key != "replace"}
        meant = [target for target in targets if _same(target, told)]
        if not meant:
            targets.append({"rows": [], **given})
        for target in meant:
            rows = list(given.get("rows", ()))
            moved = {(row.get("from"), row.get("to")) for row in rows if isinstance(row.get("from"), str)}
            stay = [
                row
                for row in target.get("rows", ())
                if not _reads(row, told.get("replace", ())) and _move(row) not in moved
            ]
            # Rows are in the order of their precedence: the sender's own go first.
            target["rows"] = rows + stay
    ignored = [*known.get("ignored", ()), *entry.get("ignored", ())]
    return {**known, "targets": targets, **({"ignored": ignored} if ignored else {})}


def _same(target: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether an overlay's target means this one: the resource, and the role or the one that it joins if told."""
    if target["resource"] != told["resource"]:
        return False
    return all(target.get(key) == told[key] for key in ("role", "joins", "identity") if key in told)


def _move(row: Mapping[str, Any]) -> tuple[Any, Any]:
    source = row.get("from")
    return (source if isinstance(source, str) else None, row.get("to"))


def _reads(row: Mapping[str, Any], fields: Any) -> bool:
    """Whether a row moves one of the fields or a component of it; a decision that reads several fields stays."""
    source = row.get("from")
    return isinstance(source, str) and (source in fields or source.partition(".")[0] in fields)


def _local(told: Mapping[str, str], naming: Naming) -> dict[str, str]:
    """Return the codes with the names of coding systems as URIs."""
    found = {}
    for key, target in told.items():
        name, bar, code = key.rpartition("|")
        found[f"{naming.coding_system(name)}|{code}" if bar else code] = target
    return found


def _place(path: Any) -> str:
    place = ""
    for step in path:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else str(step)
    return place


@cache
def _validator() -> jsonschema.Draft202012Validator:
    rows = load("mapping-table.schema.json")
    registry: Registry[Any] = Registry().with_resource("mapping-table.schema.json", Resource.from_contents(rows))
    return jsonschema.Draft202012Validator(load("overlay.schema.json"), registry=registry)
