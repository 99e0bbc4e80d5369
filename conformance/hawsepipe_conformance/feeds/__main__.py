"""The command `python -m hawsepipe_conformance.feeds`."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hawsepipe_conformance.feeds import cases, runs
from hawsepipe_conformance.feeds.product import Address
from hawsepipe_conformance.feeds.stage import SOAK


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m hawsepipe_conformance.feeds", description=__doc__)
    parser.add_argument("cases", type=Path, help="the case file")
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of lines")
    parser.add_argument("--only", default="", help="ids or prefixes of ids, separated by commas (AK,FR-0)")
    parser.add_argument("--mllp", default="", help="host:port of an MLLP feed of a service that runs already")
    parser.add_argument("--feed", default="adt", help="the name of that feed")
    parser.add_argument("--url", default="", help="where that service answers over HTTP (http://127.0.0.1:8080)")
    parser.add_argument("--token", default=os.environ.get("HAWSEPIPE_TOKEN", ""), help="an access token for it")
    parser.add_argument("--soak", type=float, default=SOAK, help="seconds of the checks about time (LD-07, LD-09)")
    chosen = parser.parse_args(arguments)
    if bool(chosen.mllp) != bool(chosen.url):
        parser.error("--mllp and --url go together")
    elsewhere = None
    if chosen.mllp:
        host, _, port = chosen.mllp.rpartition(":")
        elsewhere = runs.Elsewhere(chosen.url.rstrip("/"), Address(host, int(port)), chosen.feed, chosen.token)
    try:
        file = cases.read(chosen.cases)
    except cases.Unclear as error:
        parser.error(str(error))
    if chosen.only:
        prefixes = tuple(chosen.only.split(","))
        file = dataclasses.replace(file, cases=tuple(case for case in file.cases if case.id.startswith(prefixes)))
    if not file.cases:
        parser.error("there is no such case")
    outcomes = asyncio.run(runs.run(file, elsewhere, lambda _: None if chosen.json else _line(_), chosen.soak))
    if chosen.json:
        print(json.dumps([dataclasses.asdict(outcome) | {"passed": outcome.passed} for outcome in outcomes], indent=1))
    else:
        for category, passed, count in runs.table(outcomes):
            print(f"     {category:<14} {passed} of {count}")
        print(f"{sum(outcome.passed for outcome in outcomes)} of {len(outcomes)} cases pass")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _line(outcome: runs.Outcome) -> None:
    reason = "" if outcome.passed else f": {'; '.join(outcome.failures)}"
    print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.id} {outcome.title}{reason}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
