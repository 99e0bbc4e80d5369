"""Overlays: what is special about single senders, as files in a directory, laid over the shipped tables.

A file is TOML (`overlay.schema.json`): whose messages, their time zone and character set, naming systems, codes of
their own, rows for segments. Overlays whose sender fits are laid over one another in the order of their file names; a
later one wins.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hawsepipe import ConfigError
from hawsepipe_hl7v2.naming import Naming
from hawsepipe_hl7v2.overlay_checks import faults, same
from hawsepipe_hl7v2.tables import Table, Tables

_SETTINGS = ("timezone", "charset")
_CODING = re.compile(r"L|99.+|(?:HL7?)?[0-9]{4,5}", re.IGNORECASE)
"""Names of coding systems by table 0396: local ones (`L`, `99zzz`) and tables of v2."""
_LOOKALIKES = frozenset({".toml", ".tml", ".json", ".yaml", ".yml"})
"""What somebody who wants an overlay read may call it."""


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

    def nearly(self, application: str, facility: str) -> bool:
        """Whether the messages of this sender would be meant if small and capital letters were one."""
        sender = self.content["sender"]
        return fnmatchcase(application.casefold(), sender.get("application", "*").casefold()) and fnmatchcase(
            facility.casefold(), sender.get("facility", "*").casefold()
        )

    def over(self, tables: Tables, naming: Naming) -> Tables:
        """Return the tables with this overlay's segments and codes."""
        segments = dict(tables.segments)
        for entry in self.content.get("segments", ()):
            name = entry["segment"]
            segments[name] = _segment(segments.get(name, {"segment": name, "targets": []}), entry)
        codes = dict(with_tables(tables, self.content, naming).codes)
        for name, told in self.content.get("codes", {}).items():
            own, known = _local(told, naming), codes[name]
            codes[name] = {
                **known,
                "codes": {**known["codes"], **_bare(told)},
                "local": {**known.get("local", {}), **own},
            }
        return replace(tables, segments=segments, codes=codes)

    def settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings with this overlay's zone, character set and systems."""
        own = {name: self.content[name] for name in _SETTINGS if name in self.content}
        return {**settings, **own, "systems": {**settings["systems"], **self.content.get("systems", {})}}


def read(directory: Path, tables: Tables) -> tuple[Overlay, ...]:
    """Return the overlays of a directory (`*.toml`), by name.

    Raises ConfigError for the first fault, with the others in `also`; see `overlay_checks`. A file that looks like an
    overlay and would not be read is a fault too.
    """
    try:
        if not directory.is_dir():
            raise ConfigError("overlays", f"{directory} is not a directory")
        files = sorted(file for file in directory.iterdir() if not file.name.startswith("."))
    except OSError as error:
        raise ConfigError("overlays", f"{directory} cannot be read ({error.strerror})") from error
    wrong: list[ConfigError] = []
    found: list[Overlay] = []
    for file in files:
        if file.suffix != ".toml":
            if file.suffix.lower() in _LOOKALIKES:
                wrong.append(ConfigError(f"overlays: {file.name}", "not read: an overlay's name ends in .toml"))
            continue
        try:
            content = _content(file)
        except ConfigError as error:
            wrong.append(error)
            continue
        told = [
            (f"overlays: {file.name}: {place}" if place else f"overlays: {file.name}", reason)
            for place, reason in faults(content, tables)
        ]
        wrong += [ConfigError(key, reason) for key, reason in told]
        twin = next((other.name for other in found if other.content == content), None)
        if twin is not None:
            wrong.append(ConfigError(f"overlays: {file.name}", f"the same as {twin}"))
        found.append(Overlay(file.name, content))
    if wrong:
        raise ConfigError(wrong[0].key, wrong[0].reason, wrong[1:])
    return tuple(found)


def advice(overlays: Sequence[Overlay], settings: Mapping[str, Any]) -> tuple[ConfigError, ...]:
    """Return what overlays say that is allowed and probably not meant.

    An authority that one sender's overlay maps is another authority in the messages of everybody else: the same
    patient number from two senders would be two patients. A character set of one sender alone is not known to the feed,
    which looks at a message before any overlay does.
    """
    told, systems = [], settings["systems"]
    for overlay in overlays:
        charset = overlay.content.get("charset", settings["charset"])
        if charset != settings["charset"]:
            reason = (
                f"feeds do not read overlays: one whose `charset` is {settings['charset']} refuses what is {charset};"
                " set the same for the feed of this sender, and for the translator"
            )
            told.append(ConfigError(f"overlays: {overlay.name}: charset", reason))
        coding = {key.rpartition("|")[0] for codes in overlay.content.get("codes", {}).values() for key in codes}
        for table in overlay.content.get("tables", {}).values():
            coding |= {key.rpartition("|")[0] for key in table["codes"]}
        for name in overlay.content.get("systems", {}):
            if name not in systems and name not in coding and not _CODING.fullmatch(name):
                reason = (
                    f"if {name} numbers patients, visits or people, `systems` of the translator is its place: here it"
                    " holds for this sender alone, and the same number from another sender is another patient"
                )
                told.append(ConfigError(f"overlays: {overlay.name}: systems.{name}", reason))
    return tuple(told)


def _content(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file():
            # A pipe would be waited for, a directory cannot be read.
            raise ConfigError(f"overlays: {file.name}", "the file cannot be read: it is no regular file")
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ConfigError(f"overlays: {file.name}", "not TOML: values are nested too deeply") from error
    except OSError as error:
        raise ConfigError(f"overlays: {file.name}", "the file cannot be read") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"overlays: {file.name}", "the file is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        # Its words name the line and nothing of the content but a character.
        raise ConfigError(f"overlays: {file.name}", f"not TOML: {error}") from error


def with_tables(tables: Tables, content: Mapping[str, Any], naming: Naming) -> Tables:
    """Return the tables with the code tables that an overlay brings."""
    own = {
        name: {"source": "", **table, "codes": _bare(table["codes"]), "local": _local(table["codes"], naming)}
        for name, table in content.get("tables", {}).items()
    }
    return replace(tables, codes={**tables.codes, **own})


def _segment(known: Table, entry: Mapping[str, Any]) -> Table:
    """Return a segment's table with the targets and rows of an overlay."""
    targets = [dict(target) for target in known["targets"]]
    for told in entry.get("targets", ()):
        given = {key: value for key, value in told.items() if key != "replace"}
        meant = [target for target in targets if same(target, told)]
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


def _move(row: Mapping[str, Any]) -> tuple[Any, Any]:
    source = row.get("from")
    return (source if isinstance(source, str) else None, row.get("to"))


def _reads(row: Mapping[str, Any], fields: Any) -> bool:
    """Whether a row moves one of the fields or a component of it; a decision that reads several fields stays."""
    source = row.get("from")
    return isinstance(source, str) and (source in fields or source.partition(".")[0] in fields)


def _bare(told: Mapping[str, str]) -> dict[str, str]:
    """Return the codes that are told without the name of their coding system."""
    return {code: target for code, target in told.items() if "|" not in code}


def _local(told: Mapping[str, str], naming: Naming) -> dict[str, str]:
    """Return the codes with the names of coding systems as URIs."""
    found = {}
    for key, target in told.items():
        name, bar, code = key.rpartition("|")
        found[f"{naming.coding_system(name)}|{code}" if bar else code] = target
    return found
