"""Progress: how far, how fast, how long still."""

from __future__ import annotations

from hawsepipe.cli.courses import line
from hawsepipe.migrate.progress import Progress
from hawsepipe.migrate.state import Chunk, Failure, Tally


def chunk(number: int, loaded: int, dead: int = 0) -> Chunk:
    tally = Tally()
    tally.add("old", "Patient", 0, loaded)
    failures = tuple(Failure("old", "Patient", "a", 1, "00", "parse", "", "") for _ in range(dead))
    if dead:
        tally.add("old", "Patient", 2, dead)
        tally.causes["parse"] += dead
    return Chunk(number, tally, failures, "", "2026-01-01T00:00:00Z")


def test_the_time_that_is_left_is_that_of_this_run_without_its_start() -> None:
    time = 0.0
    progress = Progress("old", lambda: time)
    progress.plan(1000, {"old": {"Patient": 1000}})
    progress.before(chunk(1, 200))
    progress.start()
    assert progress.told()["eta_seconds"] is None
    time = 60.0  # translators were opened
    progress.after(chunk(2, 100))
    for number in range(3, 6):
        time += 2.0
        progress.after(chunk(number, 99, 1))
    told = progress.told()
    assert (told["done"], told["percent"], told["rate"], told["eta_seconds"]) == (600, 60.0, 50.0, 8.0)
    assert told["types"] == {"Patient": {"source": 1000, "loaded": 597, "duplicate": 0, "dead": 3}}
    assert told["causes"] == {"parse": 3}
    assert line(told) == "old loading: 600/1000 records (60.0 %), 50/s, 0:08 left, dead 3 (parse=3)"
