"""Strict coverage of the HL7 v2 translation, by type and by segment, as a page of docs/.

    python conformance/bench/scores.py --scorer DIR --corpus DIR [--out docs/translation-scores.md] [--jobs 2]

DIR of --scorer holds `score.py` (which judges a Bundle by the rows of HL7's V2-to-FHIR guide) and
`peer_scores_share.json`; DIR of --corpus holds `manifest.json` and the messages that it lists. Neither is part of this
project. What the scorer counts as missed is listed by field, with the reason from `score_reasons.json` beside this
file; a field without a reason is an error (exit 1), so that none goes unexplained.
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
    return {**result, "id": item["id"]}


def share(part: int, whole: int) -> str:
    """Write a share in percent."""
    return f"{100 * part / whole:.1f}" if whole else "–"


def total(scores: Iterable[Score], key: str) -> int:
    """Add one figure of many scores."""
    return sum(score[key] for score in scores)


def _row(name: str, scores: Sequence[Score], peers: Sequence[Score]) -> str:
    expected = total(scores, "expected")
    traces = [score["trace"] for score in scores if score["trace"] is not None]
    links = [sum(link[at] for score in scores for link in score["links"].values()) for at in (0, 1)]
    cells = [
        name,
        str(len(scores)),
        str(expected),
        share(total(scores, "strict"), expected),
        share(total(scores, "strict") + total(scores, "resource"), expected),
        share(expected - total(scores, "miss"), expected),
        share(total(scores, "unmapped_kept"), total(scores, "unmapped")),
        f"{100 * sum(traces) / len(traces):.1f}" if traces else "–",
        share(links[0], links[1]),
        str(total(scores, "dangling")),
        share(total(peers, "strict"), total(peers, "expected")),
    ]
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| | messages | leaves | strict % | right resource % | kept % | kept without a row % | trace % | links % | dangling"
    " | best peer, strict % |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def page(scores: Sequence[Score], peers: Mapping[str, Sequence[Score]], reasons: Mapping[str, str]) -> tuple[str, int]:
    """Return the page and how many missed fields have no reason."""
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
    parts = ["## By type", f"Macro average by type: {100 * sum(macro) / len(macro):.1f} %.", "\n".join(lines)]
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
        reason = _reason(place, reasons)
        unexplained += not reason
        found = {"resource": "elsewhere in the resource", "bundle": "in another resource", "miss": "not found"}[outcome]
        rows.append(f"| {place} | {found} | {count} | {reason or '**none yet**'} |")
    parts += ["## Every strict miss, by field", "\n".join(rows)]
    return "\n\n".join(parts) + "\n", unexplained


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
    print(f"{unexplained} missed fields without a reason", file=sys.stderr)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
