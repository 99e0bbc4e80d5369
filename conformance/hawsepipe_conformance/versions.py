"""Conversion of FHIR versions, judged from outside.

    python -m hawsepipe_conformance.versions pairs MANIFEST [--known FILE] [--show]
    python -m hawsepipe_conformance.versions leaves --from stu3 FILE...

`pairs` converts the source of each pair of a manifest (JSON: `pairs` with `source`, `expected` and `from`, paths beside
the manifest) and compares. A difference is explained by one of the rules in `REASONS`, which need no knowledge of the
pair, or by a row of a table in FILE (`| file | path | reason |`). Exit status 1 if a difference is left.

`leaves` converts files and says how many leaves of the source are neither moved nor reported lost, how many are said to
be moved and are not there, and how many findings R4 validation has. Exit status 1 if any of these is not 0.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from hawsepipe.fhir import codec, definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe_fhir import Conversion, convert, named

REASONS = {
    "offset": "the same instant, which the expected file writes with another offset or fraction",
    "system": "the expected file keeps a code system's URI of the older version, which R4 does not know",
    "type": "the expected file keeps a reference to a type that R4 calls otherwise",
    "expected": "the expected file breaks R4 at this place",
    "source": "the source breaks its own version at this place",
    "kept": "kept here in an extension; the expected file drops it or spells the extension otherwise",
    "more": "a value of the source in its place in R4, which the expected file drops",
    "absent": "required by R4 and not in the source: absent with a reason",
    "order": "the same items in another order",
}
"""What may differ, whatever the pair."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_SYSTEM = re.compile(r"http://terminology\.hl7\.org/CodeSystem/")


class Difference(NamedTuple):
    """A place where the two differ. None stands for nothing there."""

    path: str
    ours: Any
    theirs: Any


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[Difference]:
    """Yield the places where two JSON values differ, list items paired as well as they can be."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in dict.fromkeys([*ours, *theirs]):
            yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list):
        rest = list(theirs)
        unpaired = []
        moved = False
        for index, item in enumerate(ours):
            if item in rest:
                moved = moved or theirs[index : index + 1] != [item]
                rest.remove(item)
            else:
                unpaired.append((index, item))
        if moved and not unpaired and not rest:
            yield Difference(f"{path}[]", "order", "order")
        for index, item in unpaired:
            match = next((it for it in rest if _alike(item, it)), rest[0] if rest and not _extension(item) else None)
            if match is not None:
                rest.remove(match)
            yield from differences(item, match, f"{path}[{index}]")
        for index, item in enumerate(rest):
            yield Difference(f"{path}[+{index}]", None, item)
    elif ours != theirs:
        yield Difference(path, ours, theirs)


def _alike(one: Any, other: Any) -> bool:
    if not (_extension(one) and _extension(other)):
        return False
    return bool(one["url"].rpartition("/")[2] == other["url"].rpartition("/")[2])


def _extension(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("url"), str)


def reason(difference: Difference, theirs_: Faults, ours_: Faults, sources: frozenset[str]) -> str | None:
    """Return the key of the reason for a difference, None without one.

    `theirs_` are the places where R4 validation finds the expected file wrong, `ours_` those where it finds ours wrong
    for a fault of the source; `sources` are all strings and numbers of the source.
    """
    (faults, strange), own = theirs_, ours_.places
    path, ours, theirs = difference
    if ours == theirs == "order":
        return "order"
    if isinstance(ours, str) and isinstance(theirs, str):
        if _same_instant(ours, theirs):
            return "offset"
        if path.endswith("system") and _SYSTEM.match(ours) and theirs in sources:
            return "system"
        if path.endswith("reference") and ours.partition("/")[2] == theirs.partition("/")[2] and theirs in sources:
            return "type"
    here = re.sub(r"\[\+?\d*\]", "", path).replace("._", ".").removeprefix("_").split(".")
    if any(_near(here, fault) for fault in faults) or (ours is None and ["", *here[:-1]] in strange):
        return "expected"
    if any(_near(here, fault) for fault in own):
        return "source"
    text = json.dumps(ours, default=str)
    if "data-absent-reason" in text and (theirs is None):
        return "absent"
    if "extension" in path or "extension" in text:
        values = _values(ours)
        if theirs is None or path.endswith(".url"):
            return "kept" if values - {"url"} and (path.endswith(".url") or values & sources or ours is None) else None
    if ours is None and "extension" in path:
        return "kept"
    if theirs is None and _values(ours) <= sources:
        return "more"
    return None


class Faults(NamedTuple):
    """Where validation finds something wrong, as lists of names; `strange` are objects with elements unknown to R4."""

    places: list[list[str]]
    strange: list[list[str]]


def _near(path: list[str], fault: list[str]) -> bool:
    """Say whether a finding is at a path, above it or below it; a choice is named without its type there."""
    pairs = zip(path, fault, strict=False)
    return all(name == told or re.fullmatch(f"{re.escape(told)}[A-Z].*", name) for name, told in pairs)


def _values(value: Any) -> frozenset[str]:
    if isinstance(value, dict):
        return frozenset().union(*(_values(held) for held in value.values()))
    if isinstance(value, list):
        return frozenset().union(*(_values(held) for held in value))
    return frozenset([str(value)]) if value is not None else frozenset()


def _same_instant(one: str, other: str) -> bool:
    try:
        return datetime.fromisoformat(one) == datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False


def _faults(validator: Validator, resource: Any) -> Faults:
    places: list[list[str]] = []
    strange: list[list[str]] = []
    for issue in validator.check(resource):
        names = re.sub(r"\[\d+\]", "", issue.location).split(".")[1:]
        (strange if "does not know" in issue.text else places).append(names)
    return Faults([it for it in places if it], [["", *it] for it in strange])


def _known(path: Path | None) -> dict[tuple[str, str], str]:
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (.+?) \|$", path.read_text("utf-8"), re.MULTILINE) if path else []
    return {(name, where): why for name, where, why in rows}


@click.group()
def main() -> None:
    """Judge the conversion of FHIR versions."""


@main.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--known", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="A table of differences.")
@click.option("--show", is_flag=True, help="Print each difference.")
def pairs(manifest: Path, known: Path | None, show: bool) -> None:
    """Compare conversions with expected files."""
    validator = Validator(definitions.load())
    told = _known(known)
    counts: Counter[str] = Counter()
    for pair in json.loads(manifest.read_bytes())["pairs"]:
        source = codec.decode((manifest.parent / pair["source"]).read_bytes())
        theirs = codec.decode((manifest.parent / pair["expected"]).read_bytes())
        made = convert(source, named(pair["from"])).resource
        name = Path(pair["source"]).name
        faults, own, values = _faults(validator, theirs), _faults(validator, made), _values(source)
        found = [
            (it, reason(it, faults, own, values) or told.get((name, re.sub(r"\[\+?\d*\]", "", it.path))))
            for it in differences(made, theirs)
        ]
        word = "equal" if not found else "explained" if all(why for _, why in found) else "different"
        counts[word] += 1
        reasons = Counter(why if why in REASONS else "listed" if why else "UNEXPLAINED" for _, why in found)
        summary = ", ".join(f"{count} {why}" for why, count in sorted(reasons.items()))
        click.echo(f"{word:9} {pair['from']:5} {pair['source']}  {summary}")
        for it, why in found if show else ():
            click.echo(f"    {it.path}: ours {_short(it.ours)} expected {_short(it.theirs)} -- {why or 'UNEXPLAINED'}")
    click.echo(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    sys.exit(1 if counts["different"] else 0)


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, default=str)
    return text if len(text) < 100 else f"{text[:97]}..."


@main.command()
@click.option("--from", "version", required=True, help="The version of the files (stu3, dstu2, r5 or its number).")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def leaves(version: str, files: tuple[Path, ...]) -> None:
    """Account for every leaf of files."""
    validator = Validator(definitions.load())
    bodies = [codec.decode(path.read_bytes()) for path in files]
    for body in bodies[:1]:
        convert(body, named(version))  # tables are compiled when first needed
    totals: Counter[str] = Counter()
    spent = 0.0
    for path, body in zip(files, bodies, strict=True):
        start = time.perf_counter()
        made = convert(body, named(version))
        spent += time.perf_counter() - start
        counted = account(body, made)
        counted["findings"] = len(validator.check(made.resource))
        counted["resources"] = max(1, len(body.get("entry", ())))
        totals.update(counted)
        click.echo(f"{path.name}: " + ", ".join(f"{count} {word}" for word, count in counted.items()))
    click.echo("total: " + ", ".join(f"{count} {word}" for word, count in totals.items()))
    click.echo(f"{totals['resources'] / spent:.0f} resources a second")
    sys.exit(1 if totals["unreported"] or totals["astray"] or totals["findings"] else 0)


def account(source: Any, made: Conversion) -> Counter[str]:
    """Count the leaves of a source: all, moved, lost, unreported; `astray` are moves to where nothing (else) is."""
    moved = {move.source for move in made.moves}
    lost = tuple(loss.source for loss in made.losses)
    counted = Counter({"leaves": 0, "moved": 0, "lost": 0, "unreported": 0, "astray": 0})
    for leaf in _leaves(source, ""):
        counted["leaves"] += 1
        if leaf in moved:
            counted["moved"] += 1
        else:
            covered = any(leaf == it or leaf.startswith((f"{it}.", f"{it}[")) for it in lost)
            counted["lost" if covered else "unreported"] += 1
    for move in made.moves:
        there = at(made.resource, move.target)
        if there is None or (move.exact and str(there) != str(at(source, move.source))):
            counted["astray"] += 1
    return counted


def _leaves(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, held in value.items():
            if key != "resourceType":
                name = key.removeprefix("_")
                yield from _leaves(held, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    elif value is not None:
        yield path


def at(value: Any, path: str) -> Any:
    """Return what is at a FHIRPath without its root type; `birthDate.extension` is found under `_birthDate`."""
    places = [value]
    for name, index in _STEP.findall(path):
        if index:
            places = [it[int(index)] for it in places if isinstance(it, list) and int(index) < len(it)]
        else:
            keys = (name, f"_{name}")
            places = [it[key] for it in places if isinstance(it, dict) for key in keys if key in it]
        places = [it for it in places if it is not None]
    return next((it for it in places if not isinstance(it, dict | list)), places[0] if places else None)


if __name__ == "__main__":
    main()
