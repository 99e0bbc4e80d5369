"""The README's two commands are executed word for word, in a copy of the checkout and an empty environment."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> tuple[str, str]:
    section = README.split("## Two commands", 1)[1].split("\n## ", 1)[0]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    demo, tests = block.group(1).strip().splitlines()
    return demo, tests


def test_the_readme_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 90


def test_every_link_of_the_readme_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_ci_runs_the_readmes_test_command() -> None:
    _, tests = _commands()
    assert tests.endswith(".venv/bin/pytest -n auto")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in script
    assert tests not in script, "it is taken from the README, so that the two cannot differ"


def _checkout() -> list[str]:
    """Return the files that git knows or would take in; one that was deleted is left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    return [name for name in map(os.fsdecode, listed) if name and (ROOT / name).is_file()]


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.usefixtures("default_ports")
async def test_the_first_command_sets_up_and_runs_the_main_job(tmp_path: Path) -> None:
    demo, _ = _commands()
    for name in _checkout():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    kept = {
        name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    # What the demo leaves behind for its reader is nobody's here.
    kept["TMPDIR"] = str(tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", demo, cwd=tmp_path, env=kept, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(300):
            async for line in process.stdout:
                lines.append(line.decode("utf-8"))
                if "Serving until" in lines[-1] or "FAILED" in lines[-1]:
                    break
    finally:
        os.killpg(process.pid, signal.SIGINT)
    await process.stdout.read()
    assert await process.wait() == 0, "".join(lines)
    assert any("steps did what they should" in line for line in lines), "".join(lines)


@pytest.fixture
def default_ports() -> None:
    """The command uses the ports that it names; another program there is this machine's business, not ours."""
    assert not _taken(8080), "port 8080 is in use"
    assert not _taken(2575), "port 2575 is in use"
