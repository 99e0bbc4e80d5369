"""Workers: order, one that ends, one that hangs, one that cannot work, the end of all."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hawsepipe.intake.effects import Effect, Task
from hawsepipe.intake.workers import Workers, open_workers
from hawsepipe.model import RawMessage

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
RULES = {"feed": b"\x01" * 32}

PROGRAM = """
import os, socket, sys, time
from hawsepipe.intake.effects import Effect
from hawsepipe.intake.frames import LENGTH, answered, framed, value

link = socket.socket(fileno=int(sys.argv[1]))
read = link.makefile("rb")
setup = value(read.read(int.from_bytes(read.read(LENGTH), "big")))
open(setup["pids"], "a").write(f"{os.getpid()}\\n")
link.sendall(framed(setup["answer"]))
while head := read.read(LENGTH):
    effects = []
    for task in value(read.read(int.from_bytes(head, "big"))):
        if task.message.body == b"die":
            os._exit(3)
        if task.message.body == b"hang":
            time.sleep(3600)
        effects.append(Effect(f"worker {task.message.body.decode()}", None))
    link.sendall(answered(effects))
"""


class Own:
    """The desk of the service itself."""

    width = 1

    async def effects(self, tasks: Sequence[Task]) -> list[Effect]:
        return [Effect(f"own {task.message.body.decode()}", None) for task in tasks]


Opened = Callable[..., AbstractAsyncContextManager[Workers]]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Opens workers that run PROGRAM and waits until `wait` of them are there."""
    (tmp_path / "a_worker.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    @asynccontextmanager
    async def opening(
        count: int = 1, answer: object = RULES, wait: int | None = None, patience: float = 30.0
    ) -> AsyncIterator[Workers]:
        setup = {"answer": answer, "pids": str(tmp_path / "pids")}
        async with open_workers(count, "a_worker", setup, RULES, Own(), patience=patience) as workers:
            async with asyncio.timeout(30):
                while workers.alive < (count if wait is None else wait):
                    await asyncio.sleep(0.01)
            yield workers

    return opening


def _tasks(*bodies: str) -> list[Task]:
    return [
        Task(number, START, RawMessage("feed", START, "text/plain", body.encode()))
        for number, body in enumerate(bodies, 1)
    ]


def _pids(folder: Path) -> list[int]:
    return [int(line) for line in (folder / "pids").read_text().split()]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_parts_come_back_from_the_workers_in_their_own_order(opened: Opened) -> None:
    async with opened(2) as workers:
        parts = [[f"{number}", f"{number + 1}"] for number in range(0, 40, 2)]
        answers = await asyncio.gather(*(workers.effects(_tasks(*part)) for part in parts))
    assert [[effect.label for effect in answer] for answer in answers] == [
        [f"worker {body}" for body in part] for part in parts
    ]


async def test_until_there_is_a_worker_the_own_desk_works(opened: Opened) -> None:
    async with opened(wait=0) as workers:
        assert [effect.label for effect in await workers.effects(_tasks("a"))] == ["own a"]


async def test_a_message_that_ends_its_worker_is_refused_and_its_neighbours_are_not(
    opened: Opened, tmp_path: Path
) -> None:
    async with opened() as workers:
        behind = asyncio.create_task(workers.effects(_tasks("c")))
        labels = [(effect.label, effect.refusal) for effect in await workers.effects(_tasks("a", "die", "b"))]
        assert [label for label, _ in labels] == ["worker a", "", "worker b"]
        refusal = labels[1][1]
        assert refusal is not None
        assert refusal.cause == "mapping"
        assert [effect.label for effect in await behind] == ["worker c"]
        assert (await workers.effects(_tasks("d")))[0].label.endswith(" d"), "the work goes on"


async def test_a_message_that_takes_too_long_is_refused(opened: Opened) -> None:
    async with opened(patience=1.0) as workers:
        effects = await workers.effects(_tasks("a", "hang"))
        assert [effect.refusal is None for effect in effects] == [True, False]


async def test_a_worker_that_ends_is_followed_by_another(opened: Opened, tmp_path: Path) -> None:
    async with opened() as workers:
        (first,) = _pids(tmp_path)
        os.kill(first, 9)
        async with asyncio.timeout(30):
            while (await workers.effects(_tasks("a")))[0].label != "worker a" or len(_pids(tmp_path)) < 2:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("translators[0]: no such thing", "no such thing"), ({"feed": b"\x02" * 32}, "mapping rules")],
)
async def test_workers_that_cannot_work_leave_it_to_the_own_desk_and_say_why(
    opened: Opened, answer: object, reason: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with opened(answer=answer, wait=0) as workers:
        told = ""
        async with asyncio.timeout(30):
            while reason not in told:
                await asyncio.sleep(0.02)
                told += capsys.readouterr().out
        assert workers.alive == 0
        assert [effect.label for effect in await workers.effects(_tasks("a"))] == ["own a"]
    assert not any(map(_runs, _pids(tmp_path)))


async def test_leaving_ends_every_process(opened: Opened, tmp_path: Path) -> None:
    async with opened(2):
        pids = _pids(tmp_path)
        assert all(map(_runs, pids))
    assert len(pids) == 2
    assert not any(map(_runs, pids))
