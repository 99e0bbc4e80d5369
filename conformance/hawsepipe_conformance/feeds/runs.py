"""Running a case file: a feed for each case, a check or the generic run, an outcome for each."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from hawsepipe_conformance.feeds import generic
from hawsepipe_conformance.feeds.cases import Case, CaseFile, Unclear
from hawsepipe_conformance.feeds.checks import ALL
from hawsepipe_conformance.feeds.checks.registry import Check
from hawsepipe_conformance.feeds.expectations import differences
from hawsepipe_conformance.feeds.product import Address, Local, Plan, Product, Remote
from hawsepipe_conformance.feeds.stage import SOAK, Stage

_PATIENCE = 1800.0
"""Seconds that one case may take."""
_LONG_WAIT = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: `failures` is empty when it passed."""

    id: str
    category: str
    title: str
    severity: str
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it passed."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A service that somebody else has started."""

    origin: str
    address: Address
    feed: str
    token: str


async def run(
    file: CaseFile, elsewhere: Elsewhere | None, told: Callable[[Outcome], None], soak: float = SOAK
) -> list[Outcome]:
    """Run every case; `told` hears of each outcome as it is known. The result is in the order of the file.

    `soak` is how long, in seconds, a check that is about time takes.
    """
    outcomes: dict[int, Outcome] = {}

    def note(number: int, outcome: Outcome) -> None:
        outcomes[number] = outcome
        told(outcome)

    ready: list[tuple[int, Case]] = []
    for number, case in enumerate(file.cases):
        reason = _unclear(case)
        if reason:
            note(number, _outcome(case, [reason]))
        else:
            ready.append((number, case))
    if ready:
        async with _product(ready, elsewhere) as (product, feeds):

            async def one(number: int, case: Case) -> None:
                stage = Stage(case, file.messages, product, feeds(number, case), soak)
                note(number, await _run(stage))

            # Those that only wait do so beside the others; a stranger's service has one feed, where none may disturb.
            waiting = [entry for entry in ready if elsewhere is None and _waits(entry[1])]
            slow = [asyncio.create_task(one(*entry)) for entry in waiting]
            try:
                for entry in ready:
                    if entry not in waiting:
                        await one(*entry)
                await asyncio.gather(*slow)
            finally:
                for task in slow:
                    task.cancel()
    return [outcomes[number] for number in sorted(outcomes)]


def _unclear(case: Case) -> str:
    """Return why a case cannot be run at all, empty when it can."""
    if case.unclear:
        return case.unclear
    check = ALL.get(case.id)
    if check is not None and check.text != case.text:
        return "the expectation's text is not the one that the check of this case was written for"
    if check is None and not case.expected:
        return "the expectation is prose alone, and no check is written for it"
    return ""


async def _run(stage: Stage) -> Outcome:
    case = stage.case
    check = ALL.get(case.id)
    try:
        async with asyncio.timeout(_PATIENCE + 2 * stage.soak):
            await stage.begin()
            await (check.work if check is not None else generic.play)(stage)
    except Unclear as error:
        return _outcome(case, [*stage.failures, str(error)])
    except TimeoutError:
        return _outcome(case, [*stage.failures, "the case took too long"])
    except (OSError, aiohttp.ClientError, LookupError, ValueError, AttributeError, TypeError) as error:
        # What a product answers may have any shape; a check that trips over it has not seen what it wants.
        return _outcome(case, [*stage.failures, f"the run broke off ({type(error).__name__}: {error})"])
    failures = [*stage.failures, *differences(case.expected, stage.measured)]
    if not stage.claims and not case.expected:
        failures.append("nothing was checked")
    return _outcome(case, failures)


def _outcome(case: Case, failures: Sequence[str]) -> Outcome:
    return Outcome(case.id, case.category, case.title, case.severity, tuple(failures))


def _waits(case: Case) -> bool:
    return any(step.pause >= _LONG_WAIT for step in case.wire)


@asynccontextmanager
async def _product(
    cases: Sequence[tuple[int, Case]], elsewhere: Elsewhere | None
) -> AsyncIterator[tuple[Product, Callable[[int, Case], str]]]:
    if elsewhere is not None:
        remote = Remote(elsewhere.origin, elsewhere.address, elsewhere.token)
        try:
            yield remote, lambda _number, _case: elsewhere.feed
        finally:
            await remote.close()
        return
    settings = {_feed_name(number): _settings(ALL.get(case.id)) for number, case in cases}
    with tempfile.TemporaryDirectory(prefix="hawsepipe-feeds-", ignore_cleanup_errors=True) as folder:
        local = Local(Path(folder) / "service", Plan(settings))
        try:
            await local.start()
            yield local, lambda number, _case: _feed_name(number)
        finally:
            await local.close()


def _feed_name(number: int) -> str:
    return f"case-{number}"


def _settings(check: Check | None) -> Mapping[str, object]:
    return check.settings if check is not None else {}


def table(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, int, int]]:
    """Yield category, cases that passed, and cases."""
    for category in dict.fromkeys(outcome.category for outcome in outcomes):
        group = [outcome for outcome in outcomes if outcome.category == category]
        yield category, sum(outcome.passed for outcome in group), len(group)
