"""`hawsepipe translate` with streams that are closed, full or left: one sentence, a status of its own, no traceback."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MESSAGE = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A28|{}|P|2.5.1\rPID|1||MRN1^^^GOOD^MR||DOE^JANE||{}|F\r"
RUN = f'"{sys.executable}" -m hawsepipe translate '


def shell(tmp_path: Path, command: str, messages: int = 1, born: str = "19800101") -> subprocess.CompletedProcess[str]:
    (tmp_path / "in.hl7").write_text("".join(MESSAGE.format(number, born) for number in range(messages)), newline="")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", RUN + command], cwd=tmp_path, capture_output=True, text=True, check=False
    )


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")


def test_without_standard_output_nothing_is_translated(tmp_path: Path) -> None:
    result = shell(tmp_path, "in.hl7 >&-")
    assert (result.returncode, result.stderr) == (2, "hawsepipe: standard output is closed\n")


def test_without_standard_input_there_is_nothing_to_read(tmp_path: Path) -> None:
    result = shell(tmp_path, "- <&-")
    assert (result.returncode, result.stdout) == (2, "")
    assert "-: error structure -: standard input is closed" in result.stderr
    assert "Traceback" not in result.stderr


@full
@pytest.mark.parametrize("messages", [1, 30])
def test_a_full_standard_output_is_said_in_a_sentence(tmp_path: Path, messages: int) -> None:
    result = shell(tmp_path, "in.hl7 > /dev/full", messages)
    assert result.returncode == 2
    assert "hawsepipe: standard output cannot be written (No space left on device)" in result.stderr
    assert "Traceback" not in result.stderr


@full
def test_a_full_file_of_findings_is_said_in_a_sentence(tmp_path: Path) -> None:
    result = shell(tmp_path, "--issues /dev/full in.hl7", born="yesterday")
    assert result.returncode == 2
    assert "hawsepipe: the file of findings cannot be written (No space left on device)" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("nowhere", ["2>&-", pytest.param("2>/dev/full", marks=full)])
@pytest.mark.parametrize("messages", [1, 2])
def test_findings_that_nobody_can_read_cost_no_bundle(tmp_path: Path, nowhere: str, messages: int) -> None:
    result = shell(tmp_path, f"in.hl7 {nowhere}", messages, born="yesterday")
    assert result.returncode == 0
    assert result.stdout.count('"transaction"') == messages


def test_whoever_reads_may_go_away(tmp_path: Path) -> None:
    result = shell(tmp_path, "in.hl7 | head -1", 400)
    assert (result.returncode, result.stdout.count("\n")) == (141, 1)
    assert "Traceback" not in result.stderr


def test_the_first_interrupt_stops_it(tmp_path: Path) -> None:
    (tmp_path / "in.hl7").write_text("".join(MESSAGE.format(number, "1980") for number in range(20_000)), newline="")
    command = [sys.executable, "-m", "hawsepipe", "translate", "in.hl7"]
    # A shell in the background hands on that interrupts are ignored.
    heard = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=heard, stdout=pipe, stderr=pipe) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        first = os.read(running.stdout.fileno(), 1)
        assert first == b"{"
        running.send_signal(signal.SIGINT)
        rest, told = running.stdout.read(), running.stderr.read()
    assert running.returncode == 130
    assert 0 < rest.count(b"\n") < 20_000
    assert told == b"stopped\n"


@full
@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (">&-", 2, "hawsepipe: standard output is closed"),
        ("> /dev/full", 2, "hawsepipe: standard output cannot be written (No space left on device)"),
        ("--issues /dev/full none.json", 2, "hawsepipe: /dev/full cannot be written (No space left on device)"),
        ("none.json", 1, "none.json: error structure -: the file cannot be read (No such file or directory)"),
        ("empty", 1, "empty: error structure -: there is no file in this directory"),
    ],
)
def test_converting_ends_in_the_same_ways(tmp_path: Path, command: str, status: int, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "in.json").write_text('{"resourceType": "Patient", "id": "p", "active": true}')
    line = f'"{sys.executable}" -m hawsepipe convert --from R4 in.json {command}'
    result = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == status
    assert words.replace("/dev/full cannot", "the file of findings cannot") in result.stderr
    assert "Traceback" not in result.stderr
