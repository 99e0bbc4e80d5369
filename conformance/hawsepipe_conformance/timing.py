"""Whether the time that an answer takes tells hidden from absent: paired requests and two statistics."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from statistics import median
from time import perf_counter
from typing import Final

from hawsepipe.model import Principal
from hawsepipe_conformance.houses import House

_LEAST: Final = 0.01
_MOST_SECONDS: Final = 0.001
_WARMING: Final = 50


@dataclass(frozen=True, slots=True)
class Timing:
    """How many pairs are asked, by how many at a time, in which order (a seed)."""

    pairs: int = 5_000
    together: int = 4
    seed: int = 1


async def timed(one: House, principal: Principal, path: str, timing: Timing) -> list[str]:
    """Ask for what is hidden and for what is not there, pair by pair, and compare the times."""
    absent = f"{path.rpartition('/')[0]}/{'x' * len(path.rpartition('/')[2])}"
    random, waiting = Random(timing.seed), list(range(timing.pairs + _WARMING))
    times: dict[str, list[float]] = {path: [], absent: []}

    async def ask() -> None:
        while waiting:
            number = waiting.pop()
            for asked in random.sample((path, absent), 2):
                started = perf_counter()
                await one.ask(principal, "GET", asked)
                if number < timing.pairs:
                    times[asked].append(perf_counter() - started)

    await asyncio.gather(*(ask() for _ in range(timing.together)))
    hidden, unknown = times[path], times[absent]
    found = []
    if (likely := likelihood(hidden, unknown)) < _LEAST:
        found.append(f"the times tell hidden from absent: p = {likely:.2g}")
    if (apart := abs(median(hidden) - median(unknown))) > _MOST_SECONDS:
        found.append(f"the medians are {apart * 1000:.2f} ms apart")
    return found


def likelihood(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the p value of the two-sample Kolmogorov-Smirnov test (asymptotic): how likely two samples of one and the
    same distribution are as far apart as these.
    """
    one, other = sorted(left), sorted(right)
    first = second = 0
    apart = 0.0
    while first < len(one) and second < len(other):
        value = min(one[first], other[second])
        while first < len(one) and one[first] <= value:
            first += 1
        while second < len(other) and other[second] <= value:
            second += 1
        apart = max(apart, abs(first / len(one) - second / len(other)))
    size = math.sqrt(len(one) * len(other) / (len(one) + len(other)))
    reach = (size + 0.12 + 0.11 / size) * apart
    if reach < 0.2:
        return 1.0
    tail = sum((1 if k % 2 else -1) * math.exp(-2 * (k * reach) ** 2) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * tail))
