"""Strict coverage of the HL7 v2 translation, by type and by segment, as a page of docs/.

    python conformance/bench/scores.py --scorer DIR --corpus DIR [--out docs/translation-scores.md] [--jobs 2]

DIR of --scorer holds `score.py` (which judges a Bundle by the rows of HL7's V2-to-FHIR guide) and
`peer_scores_share.json`; DIR of --corpus holds `manifest.json` and the messages that it lists. Neither is part of this
project. What the scorer counts against the translation (leaves missed or not kept, values without a source, links that
are not there) is listed with the reason from `score_reasons.json` beside this file; anything without a reason is an
error (exit 1), so that nothing goes unexplained.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatchcase
from functools import cache, partial
from pathlib import Path
from typing import Any

from hawsepipe import MessageError
from hawsepipe.fhir.codec import encode
from hawsepipe_hl7v2 import bundle, split, translate

Score = dict[str, Any]
REASONS = Path(__file__).with_name("score_reasons.json")
_NUMBERS = re.compile(r"\[\d+\]|\(\d+\)")


@cache
def _scorer(folder: str) -> Any:
    sys.path.insert(0, folder)
    import score  # type: ignore[import-not-found]  # not a part of this project

    return score, score.Maps(score.DEFAULT_MAPS)


def score_of(folder: str, corpus: str, item: Mapping[str, Any]) -> Score | None:
    """Translate one item of the corpus and score it; None for an item without a message."""
    module, maps = _scorer(folder)
    file = min(one for one in (Path(corpus) / item["id"]).iterdir() if one.name.startswith("message"))
    body = file.read_bytes()
    text = module.decode(body)
    if not module.parse(text):
        return None
    try:
        made = bundle(translate(next(iter(split([body])), body)))
    except MessageError:
        made = {"resourceType": "Bundle", "type": "transaction", "entry": []}
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        out.write(encode(made))
        out.flush()
        result: Score = module.score(text, out.name, maps)
        whole, resources = module.load_bundle(out.name)
    segments = module.parse(text)[0]
    leaves, mapped = module.Scorer(maps).expected(segments)
    without, fixed, values = sourceless(module, maps, leaves.values(), resources)
    return {
        **result,
        "id": item["id"],
        "sourceless": without,
        "traced_or_fixed": 1 - (without.total() - fixed) / values if values else None,
        "most": 1 - fixed / values if values else None,
        "kept_short": kept_short(module, maps, result["misses"], leaves, mapped, resources),
        "lost": lost(module, {k: v for k, v in leaves.items() if k not in mapped and len(v) >= 3}, resources),
        "asked": asked(segments, resources, whole.get("entry", ())),
    }


_UNCOUNTED = frozenset(["id", "reference", "system", "display", "url", "resourceType", "status", "mode", "versionId"])
_UNCOUNTED |= {"lastUpdated", "profile", "fullUrl", "div", "source"}
"""Elements that the scorer does not ask for a source."""


_PLACE = re.compile(r"\w+\[(\d+)\]-(\d+)\((\d+)\)\.(\d+)\.(\d+)")


def kept_short(
    module: Any, maps: Any, misses: Sequence[Any], leaves: Mapping[Any, str], mapped: Mapping[Any, Any], found: Any
) -> int:
    """Count the leaves that the scorer calls missed and that are there: it looks for no value of one or two characters
    outside its place, and compares times as texts where the guide has a text. Here both are asked for, in a resource of
    a type that the guide names."""
    values: dict[str, list[Any]] = defaultdict(list)
    for resource in found:
        values[resource.get("resourceType", "")] += [value for _, value in module.leaves_of(resource)]
    places: dict[tuple[int, ...], Any] = {(key[0], key[2], key[3], key[4], key[5]): key for key in mapped}
    count = 0
    for place, _, outcome, _ in misses:
        match = _PLACE.match(place)
        key = places.get(tuple(map(int, match.groups()))) if match and outcome == "miss" else None
        if key is None:
            continue
        text = leaves[key]
        count += any(
            module.norm(value) == module.norm(text)
            or (len(text) > 7 and module.same("date", text, "", maps, value))
            or (bool(home.vocab) and module.same("code", text, home.vocab, maps, value))
            for home in mapped[key]
            for value in values[home.res]
        )
    return count


@cache
def _fixed(folder: str) -> frozenset[str]:
    """Return the values that the guide's rows assign whatever was sent."""
    module, maps = _scorer(folder)
    rows = [row for rows in (*maps.seg.values(), *maps.dt.values()) for row in rows]
    return frozenset(module.norm(row.assign.strip('"')) for row in rows if row.assign.startswith('"'))


_REQUIRED = frozenset(["transaction", "order", "source", "original-order", "instance-order", "user-friendly-name"])
"""Codes of elements that R4 wants and v2 has nothing for."""
_ENCODED = frozenset(["data", "contentType"])
"""What R4 wants of an attachment: the message or a part of it in Base64, and what kind of file that is."""


def sourceless(module: Any, maps: Any, sent: Iterable[str], resources: Sequence[Any]) -> tuple[Counter[str], int, int]:
    """Count the values of resources that the scorer finds neither in the message nor in a code map, by element; how
    many of them the guide's rows or R4 fix; and all values that it counts."""
    values = {module.norm(value) for value in sent}
    together, long = " ".join(values), [value for value in values if len(value) >= 3]
    numbers = [digits for value in values if len(digits := module.digits(value)) >= 4]
    mapped = {module.norm(x) for table in maps.voc.values() for targets in table.values() for x in targets}

    def traced(value: Any) -> bool:
        text, digits = module.norm(value), module.digits(value)
        return (
            text in values
            or text in mapped
            or (len(text) >= 3 and text in together)
            or any(one in text for one in long)
            or (len(digits) >= 4 and any(digits[: len(one)] == one[: len(digits)] for one in numbers))
        )

    found: Counter[str] = Counter()
    constants = _fixed(str(Path(module.__file__).parent)) | _REQUIRED
    fixed = count = 0
    for resource in resources:
        for path, value in module.leaves_of(resource):
            names = [part for part in path if isinstance(part, str)]
            if not names or names[-1] in _UNCOUNTED or isinstance(value, bool):
                continue
            count += 1
            if not traced(value):
                found[f"{resource.get('resourceType')}.{'.'.join(names)}"] += 1
                fixed += module.norm(value) in constants or names[-1] in _ENCODED
    return found, fixed, count


def lost(module: Any, leaves: Mapping[Any, str], resources: Sequence[Any]) -> Counter[str]:
    """Count the leaves without a row that are found nowhere, by field."""
    values = {value for resource in resources for _, value in module.leaves_of(resource)}
    texts = {module.norm(value) for value in values}
    together, digits = "\0".join(texts), "\0".join({module.digits(value) for value in values})
    found: Counter[str] = Counter()
    for (_, segment, field, _, component, part), value in leaves.items():
        number = module.digits(value)
        if module.norm(value) not in together and not (len(number) >= 8 and number[:8] in digits):
            found[f"{segment}-{field}.{component}.{part}"] += 1
    return found


_ANSWERS = ("QST", "SCI")


def asked(segments: Sequence[Any], resources: Sequence[Any], entries: Iterable[Any]) -> dict[str, tuple[int, int]]:
    """Count, by kind, the links that the guide asks for in the groups where it does, and those that are there.

    The scorer asks every resource of a type for each link of the type that a message may have.
    """
    type_ = segments[0].get(9, 1)
    wanted: Counter[str] = Counter()
    results = specimen = answers = reasons = 0
    ordered = False
    for segment in [*segments, None]:
        if segment is None or segment.name in ("OBR", "ORC"):
            placed = type_ in ("ORM", "OML")
            wanted["ServiceRequest.supportingInfo->Observation"] += bool(results if placed else answers)
            wanted["ServiceRequest.reasonReference->Condition"] += bool(reasons)
            wanted["DiagnosticReport.result->Observation"] += bool(results > answers and type_ == "ORU")
            results = specimen = answers = reasons = 0
            ordered = segment is not None and segment.name == "OBR"
        elif segment.name in ("SPM", "DG1", "IN1"):
            specimen = specimen or segment.name == "SPM"
            reasons += ordered and segment.name == "DG1" and type_ in ("ORM", "OML")
            relation = {segment.get(17, part).upper() for part in (1, 2)} if segment.name == "IN1" else set()
            wanted["Coverage.subscriber->Patient"] += bool(relation & {"SEL", "SELF", "ONESELF"})
        elif segment.name == "OBX" and specimen and results:
            wanted["Observation.focus->Specimen"] += type_ == "ORU"
        elif segment.name == "OBX" and ordered:
            results += 1
            answers += segment.get(29, 1) in _ANSWERS
    there: Counter[str] = Counter()
    types = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in entries if "resource" in entry}
    for kind in wanted:
        home, _, rest = kind.partition(".")
        element, _, target = rest.partition("->")
        for one in resources:
            links = one.get(element, []) if one.get("resourceType") == home else []
            links = links if isinstance(links, list) else [links]
            there[kind] += any(types.get(link.get("reference")) == target for link in links)
    return {kind: (min(there[kind], count), count) for kind, count in wanted.items() if count}


def share(part: int, whole: int) -> str:
    """Write a share in percent."""
    return f"{100 * part / whole:.1f}" if whole else "–"


def total(scores: Iterable[Score], key: str) -> int:
    """Add one figure of many scores."""
    return sum(score[key] for score in scores)


def _row(name: str, scores: Sequence[Score], peers: Sequence[Score]) -> str:
    expected = total(scores, "expected")
    traces = [score["trace"] for score in scores if score["trace"] is not None]
    fixed = [score["traced_or_fixed"] for score in scores if score["traced_or_fixed"] is not None]
    links = [sum(link[at] for score in scores for link in score["links"].values()) for at in (0, 1)]
    cells = [
        name,
        str(len(scores)),
        str(expected),
        share(total(scores, "strict"), expected),
        share(total(scores, "strict") + total(scores, "resource"), expected),
        share(expected - total(scores, "miss"), expected),
        share(expected - total(scores, "miss") + total(scores, "kept_short"), expected),
        share(total(scores, "unmapped_kept"), total(scores, "unmapped")),
        f"{100 * sum(traces) / len(traces):.1f}" if traces else "–",
        f"{100 * sum(fixed) / len(fixed):.1f}" if fixed else "–",
        share(links[0], links[1]),
        str(total(scores, "dangling")),
        share(total(peers, "strict"), total(peers, "expected")),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| | messages | leaves | strict % | right resource % | kept % | kept, short ones too % | kept without a row %"
    " | trace % | trace, with what is fixed % | links % | dangling | best peer, strict % |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def page(
    scores: Sequence[Score], peers: Mapping[str, Sequence[Score]], reasons: Mapping[str, Mapping[str, str]]
) -> tuple[str, int]:
    """Return the page and how much of it has no reason."""
    types = defaultdict(list)
    for score in scores:
        types[score["type"]].append(score)
    named = {score["id"] for some in peers.values() for score in some}
    lines = [
        HEAD,
        _row("**all types**", scores, []),
        _row("the guide's 13 structures", [s for s in scores if s["structure"]], []),
    ]
    macro = [total(some, "strict") / total(some, "expected") for some in types.values() if total(some, "expected")]
    for name in sorted(types):
        best = max(
            ([s for s in some if s["type"] == name] for some in peers.values()),
            key=lambda some: total(some, "strict") / max(total(some, "expected"), 1),
            default=[],
        )
        lines.append(_row(name or "(none)", types[name], best))
    most = [score["most"] for score in scores if score["most"] is not None]
    told = (
        f"Macro average by type: {100 * sum(macro) / len(macro):.1f} %. With nothing in a Bundle but values of the"
        f" message and what the guide and R4 fix, *trace* would be {100 * sum(most) / len(most):.1f} %."
    )
    parts = ["## By type", told, "\n".join(lines)]
    both = [score for score in scores if score["id"] in named]
    rows = ["| | messages | leaves | theirs, strict % | ours on the same messages, strict % |", "|---|---|---|---|---|"]
    for peer, some in sorted(peers.items()):
        ids = {score["id"] for score in some}
        ours = [score for score in both if score["id"] in ids]
        rows.append(
            f"| {peer} | {len(some)} | {total(some, 'expected')}"
            f" | {share(total(some, 'strict'), total(some, 'expected'))}"
            f" | {share(total(ours, 'strict'), total(ours, 'expected'))} |"
        )
    parts += ["## Beside the peers, on the messages whose output they publish", "\n".join(rows)]
    segments: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for score in scores:
        for name, (strict, expected) in score["by_segment"].items():
            segments[name][0] += strict
            segments[name][1] += expected
    rows = ["| segment | leaves | strict % |", "|---|---|---|"]
    rows += [f"| {name} | {whole} | {share(part, whole)} |" for name, (part, whole) in sorted(segments.items())]
    parts += ["## By segment", "\n".join(rows)]
    missed = Counter((_NUMBERS.sub("", place), outcome) for score in scores for place, _, outcome, _ in score["misses"])
    rows, unexplained = ["| field | found | times | reason |", "|---|---|---|---|"], 0
    for (place, outcome), count in sorted(missed.items(), key=lambda entry: (-entry[1], entry[0])):
        reason = _reason(place, reasons["strict"])
        unexplained += not reason
        found = {"resource": "elsewhere in the resource", "bundle": "in another resource", "miss": "not found"}[outcome]
        rows.append(f"| {place} | {found} | {count} | {reason or '**none yet**'} |")
    for title, lines in (
        ("## Values that the message does not have, by cause", _sources(scores, reasons["trace"])),
        ("## Links, by kind", _links(scores, reasons["links"])),
        ("## Leaves without a row that are kept nowhere", _lost(scores, reasons["kept"])),
    ):
        parts += [title, "\n".join(lines)]
        unexplained += sum("**none yet**" in line for line in lines)
    parts += ["## Every strict miss, by field", "\n".join(rows)]
    return "\n\n".join(parts) + "\n", unexplained


def _sources(scores: Sequence[Score], reasons: Mapping[str, str]) -> list[str]:
    found: Counter[str] = sum((score["sourceless"] for score in scores), Counter())
    causes: dict[str, Counter[str]] = defaultdict(Counter)
    for place, count in found.items():
        causes[next((why for pattern, why in reasons.items() if fnmatchcase(place, pattern)), "")][place] += count
    rows = ["| cause | times | elements |", "|---|---|---|"]
    for why, places in sorted(causes.items(), key=lambda entry: -entry[1].total()):
        named = ", ".join(place for place, _ in places.most_common(4)) + (", …" if len(places) > 4 else "")
        rows.append(f"| {why or '**none yet**'} | {places.total()} | {named} |")
    return rows


def _links(scores: Sequence[Score], reasons: Mapping[str, str]) -> list[str]:
    rows = [
        "| link | of all resources of the type | in the groups where the guide asks for it | why not all |",
        "|---|---|---|---|",
    ]
    for kind in sorted({kind for score in scores for kind in score["links"]}):
        every = [sum(score["links"].get(kind, (0, 0))[at] for score in scores) for at in (0, 1)]
        exact = [sum(score["asked"].get(kind, (0, 0))[at] for score in scores) for at in (0, 1)]
        reason = "" if every[0] == every[1] else reasons.get(kind, "**none yet**")
        told = f"{exact[0]}/{exact[1]}" if exact[1] else ""
        rows.append(f"| {kind} | {every[0]}/{every[1]} | {told} | {reason} |")
    return rows


def _lost(scores: Sequence[Score], reasons: Mapping[str, str]) -> list[str]:
    found: Counter[str] = sum((score["lost"] for score in scores), Counter())
    rows = ["| field | times | reason |", "|---|---|---|"]
    for place, count in sorted(found.items(), key=lambda entry: (-entry[1], entry[0])):
        rows.append(f"| {place} | {count} | {_reason(place, reasons) or '**none yet**'} |")
    return rows


def _reason(place: str, reasons: Mapping[str, str]) -> str:
    """Return the reason of the component, else of the field, else of the segment."""
    segment, _, rest = place.partition("-")
    parts = rest.split(".")
    names = [f"{segment}-{'.'.join(parts[:length])}" for length in range(len(parts), 0, -1)]
    return next((reasons[name] for name in (*names, segment) if name in reasons), "")


def main() -> int:
    """Score everything and write the page."""
    parser = argparse.ArgumentParser(description="Score the HL7 v2 translation.")
    parser.add_argument("--scorer", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    items = [x for x in json.loads((Path(options.corpus) / "manifest.json").read_text()) if not x["dup_of"]]
    with ProcessPoolExecutor(options.jobs) as pool:
        work = partial(score_of, options.scorer, options.corpus)
        scores = [score for score in pool.map(work, items, chunksize=8) if score is not None]
    peers: dict[str, list[Score]] = defaultdict(list)
    for score in json.loads((Path(options.scorer) / "peer_scores_share.json").read_text()):
        peers[score["source"]].append(score)
    text, unexplained = page(scores, peers, json.loads(REASONS.read_text()))
    if options.out:
        # What people wrote above the tables stays.
        before = options.out.read_text().partition("## By type")[0] if options.out.exists() else ""
        options.out.write_text(before + text)
    else:
        print(text)
    print(f"{unexplained} rows without a reason", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
