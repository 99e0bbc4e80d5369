"""How far a load has come, for people and machines: counts by type, rate, time left, dead records by cause."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from hawsepipe.migrate.state import Chunk, Tally

_RECENT: Final = 10.0
"""Seconds over which the present rate is taken."""


class Progress:
    """The state of one load. `now` is monotonic, in seconds."""

    def __init__(self, load: str, now: Callable[[], float]) -> None:
        self.load = load
        self.phase = "planning"
        self.error = ""
        self.records = 0
        self.planned: Mapping[str, Mapping[str, int]] = {}
        self.tally = Tally()
        self.result: Mapping[str, Any] | None = None
        self._now = now
        self._begun = now()
        self._earlier = 0
        self._going = False
        self._recent: deque[tuple[float, int]] = deque()

    def plan(self, records: int, planned: Mapping[str, Mapping[str, int]]) -> None:
        """Say how many records there are, by source and type."""
        self.records, self.planned = records, planned

    def before(self, chunk: Chunk) -> None:
        """Count a chunk that an earlier run has done."""
        self.tally.join(chunk.tally)

    def start(self) -> None:
        """Begin to load."""
        self.phase, self._begun, self._earlier = "loading", self._now(), self.done

    def after(self, chunk: Chunk) -> None:
        """Count a chunk that is done."""
        self.tally.join(chunk.tally)
        now = self._now()
        if not self._going:
            # What it takes to start (translators, processes) says nothing about the time that is left.
            self._going, self._begun, self._earlier = True, now, self.done
            self._recent.clear()
        self._recent.append((now, self.done))
        while len(self._recent) > 2 and now - self._recent[0][0] > _RECENT:
            self._recent.popleft()

    @property
    def done(self) -> int:
        """How many records are done, by whichever run."""
        return sum(self.tally.totals)

    @property
    def rate(self) -> float:
        """Records a second of late."""
        if len(self._recent) < 2:
            return 0.0
        (since, before), (until, now) = self._recent[0], self._recent[-1]
        return (now - before) / (until - since) if until > since else 0.0

    @property
    def left(self) -> float | None:
        """The seconds that are left by the rate of this run, None while nothing is known."""
        spent, done = self._now() - self._begun, self.done - self._earlier
        return None if done <= 0 or spent <= 0 else (self.records - self.done) * spent / done

    def told(self) -> dict[str, Any]:
        """Return it as JSON values."""
        loaded, duplicate, dead = self.tally.totals
        loading = self.phase == "loading"
        types: dict[str, dict[str, int]] = {}
        for counts in self.planned.values():
            for type_, count in counts.items():
                types.setdefault(type_, {"source": 0, "loaded": 0, "duplicate": 0, "dead": 0})["source"] += count
        for (_, type_), numbers in self.tally.counts.items():
            row = types.setdefault(type_, {"source": 0, "loaded": 0, "duplicate": 0, "dead": 0})
            for name, number in zip(("loaded", "duplicate", "dead"), numbers, strict=True):
                row[name] += number
        return {
            "load": self.load,
            "phase": self.phase,
            "error": self.error,
            "records": self.records,
            "done": self.done,
            "percent": round(100 * self.done / self.records, 2) if self.records else 0.0,
            "loaded": loaded,
            "duplicate": duplicate,
            "dead": dead,
            "versions": self.tally.versions,
            "rate": round(self.rate, 1) if loading else 0.0,
            "eta_seconds": round(self.left, 1) if loading and self.left is not None else None,
            "types": types,
            "causes": dict(self.tally.causes),
            "result": self.result,
        }
