"""Mutation fuzzing of the HL7 v2 translator:

    python -m hawsepipe_conformance.mutation PATH… [--each 1000] [--seeds FILE] [--jobs N]

Takes the messages below the paths, damages them (each seed of the list gives `--each` mutants, always the same ones),
and wants of every mutant that begins with MSH: no exception, no more than a second, a resource or an issue, valid
R4, and no reference that leads nowhere. Prints a line for each mutant that fails, with the seed and number that make it
again, and exits 1 if there was any.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from types import FrameType

from hawsepipe import MessageError, RawMessage, Severity
from hawsepipe.fhir.codec import decode, encode
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.validate import Validator
from hawsepipe_hl7v2.translator import Hl7v2Translator

SECONDS = 1.0
"""The most that one message may take, in seconds of CPU time."""
_PATIENCE = 20
_RECEIVED = datetime(2026, 3, 1, tzinfo=UTC)
_REFERENCE = re.compile(rb'"reference":"([^"#]+)"')
_PIECES = (
    b"|", b"^", b"~", b"\\", b"&", b"#", b'""', b"\r", b"\n", b"\x00", b"\xff", b"\\F\\", b"\\X41\\", b"\\X4\\",
    b"\\.br\\", b"-1", b"0", b"99999999999999999999", b"1e999", b"NaN", b"20260230", b"20260301250000+9999",
    b"\xc3\xa5", b" ",
    b"PID|", b"OBX|1|NM|", b"OBX|1|SN|", b"OBX|1|ED|", b"MSH|^~\\&|", b"ORC|CA|", b"%", b"{", b'"', b"</div>",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Failure:
    """A mutant that broke a promise: number `number` of `seed`."""

    seed: int
    number: int
    reason: str


def seeds() -> tuple[int, ...]:
    """Return the stored list of seeds."""
    stored = files(__package__).joinpath("mutation_seeds.json").read_text(encoding="utf-8")
    return tuple(json.loads(stored)["seeds"])


def messages(paths: Sequence[Path]) -> list[bytes]:
    """Return what the files below the paths hold that begins as a message does, in the order of their names."""
    found: list[bytes] = []
    for path in paths:
        below = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [body for file in below if file.is_file() and (body := file.read_bytes())[:9].find(b"MSH") >= 0]
    return found


def mutants(bodies: Sequence[bytes], seed: int, count: int) -> Iterator[bytes]:
    """Yield `count` damaged messages; the same ones for the same arguments."""
    chance = random.Random(seed)
    for _ in range(count):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.choice((1, 1, 2, 3, 5, 8))):
            body = chance.choice(_MUTATIONS)(body, bodies, chance)
        yield bytes(body)


Mutation = Callable[[bytearray, Sequence[bytes], random.Random], bytearray]


def _replace(body: bytearray, _: Sequence[bytes], chance: random.Random) -> bytearray:
    at = chance.randrange(len(body) + 1)
    body[at : at + chance.randrange(6)] = chance.choice(_PIECES)
    return body


def _noise(body: bytearray, _: Sequence[bytes], chance: random.Random) -> bytearray:
    at = chance.randrange(len(body) + 1)
    body[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(5))
    return body


def _cut(body: bytearray, _: Sequence[bytes], chance: random.Random) -> bytearray:
    return body[: chance.randrange(len(body) + 1)]


def _repeat(body: bytearray, _: Sequence[bytes], chance: random.Random) -> bytearray:
    at = chance.randrange(len(body) + 1)
    part = body[at : at + chance.randrange(1, 40)]
    body[at:at] = part * chance.choice((1, 2, 50, 400))
    return body


def _segments(body: bytearray, bodies: Sequence[bytes], chance: random.Random) -> bytearray:
    """Swap, drop, double or borrow whole segments."""
    lines = bytes(body).replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    choice = chance.randrange(4)
    if choice == 0:
        lines[one], lines[two] = lines[two], lines[one]
    elif choice == 1:
        del lines[one]
    elif choice == 2:
        lines[one:one] = [lines[two]] * chance.choice((1, 2, 30))
    else:
        other = chance.choice(bodies).replace(b"\r\n", b"\r").replace(b"\n", b"\r").split(b"\r")
        lines[one:one] = [chance.choice(other)]
    return bytearray(b"\r".join(lines))


def _fields(body: bytearray, bodies: Sequence[bytes], chance: random.Random) -> bytearray:
    """Put a field of another message, or of this one, into the place of a field."""
    parts = bytes(body).split(b"|")
    other = bytes(body if chance.random() < 0.5 else chance.choice(bodies)).split(b"|")
    parts[chance.randrange(len(parts))] = chance.choice(other)
    return bytearray(b"|".join(parts))


def _event(body: bytearray, _: Sequence[bytes], chance: random.Random) -> bytearray:
    """Make another event of it."""
    type_ = chance.choice((b"ADT", b"ORU", b"ORM", b"OML", b"VXU", b"SIU", b"MDM", b"DFT", b"RDE", b"RSP", b"ZZZ"))
    trigger = b"%c%02d" % (chance.choice(b"ARTSOPVZ"), chance.randrange(63))
    return bytearray(re.sub(rb"\|[A-Z]{3}\^[A-Z]\d\d", b"|" + type_ + b"^" + trigger, bytes(body), count=1))


_MUTATIONS: tuple[Mutation, ...] = (
    _replace,
    _replace,
    _noise,
    _cut,
    _repeat,
    _segments,
    _segments,
    _fields,
    _fields,
    _event,
)


@cache
def _tools() -> tuple[Hl7v2Translator, Validator]:
    return Hl7v2Translator({"charset": "latin-1"}), Validator(load())


def fault(body: bytes) -> str | None:
    """Return what is wrong with how a message is treated, None when nothing is."""
    translator, validator = _tools()
    begun = time.process_time()
    try:
        translation = translator.read(RawMessage("fuzz", _RECEIVED, "application/hl7-v2", body))
    except MessageError as error:
        # The one answer for what begins with no MSH; whatever does is read as far as it goes.
        if error.location == "MSH" and not body.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n").startswith(b"MSH"):
            return None
        return f"refused at {error.location}: {error.reason}"
    except _Stuck:
        return f"more than {_PATIENCE} s"
    except Exception as error:
        return f"{type(error).__name__} escaped"
    spent = time.process_time() - begun
    if spent > SECONDS:
        return f"{spent:.1f} s"
    failed = [issue.location for issue in translation.issues if "the translator failed" in issue.text]
    if failed:
        return f"the translator failed at {failed[0]}"
    if not translation.changes and not translation.issues:
        return "neither a resource nor an issue"
    made = {f"{change.type}/{change.id}" for change in translation.changes}
    for change in translation.changes:
        content = encode(change.resource or {})
        for issue in validator.check(decode(content)):
            if issue.severity in (Severity.ERROR, Severity.FATAL):
                return f"not R4: {issue.location}: {issue.text}"
        for reference in _REFERENCE.findall(content):
            if reference.decode() not in made:
                return f"a reference of {change.type} leads nowhere"
    return None


class _Stuck(BaseException):
    """Time is up."""


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise _Stuck


def run(bodies: Sequence[bytes], each: int, seed: int) -> list[Failure]:
    """Return the failures of one seed."""
    found = []
    before = signal.signal(signal.SIGALRM, _alarm)
    try:
        for number, mutant in enumerate(mutants(bodies, seed, each)):
            signal.alarm(_PATIENCE)
            reason = fault(mutant)
            signal.alarm(0)
            if reason is not None:
                found.append(Failure(seed, number, reason))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="hawsepipe_conformance.mutation", description="Fuzz the HL7 v2 translator.")
    parser.add_argument("paths", nargs="+", type=Path, help="files and directories with messages")
    parser.add_argument("--each", type=int, default=1000, help="mutants of each seed")
    parser.add_argument("--seeds", type=Path, help="a JSON file {seeds: […]}; by default the stored list of 100")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--show", nargs=2, type=int, metavar=("SEED", "NUMBER"), help="print one mutant and stop")
    options = parser.parse_args(arguments)
    bodies = messages(options.paths)
    if not bodies:
        parser.error("there is no message below these paths")
    if options.show:
        seed, number = options.show
        sys.stdout.buffer.write(list(mutants(bodies, seed, number + 1))[number])
        return 0
    chosen = json.loads(options.seeds.read_text())["seeds"] if options.seeds else seeds()
    failures = 0
    work = partial(run, bodies, options.each)
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(work, chosen):
            failures += len(found)
            for failure in found:
                print(f"seed {failure.seed} number {failure.number}: {failure.reason}", flush=True)
    print(f"{len(chosen) * options.each} mutants of {len(bodies)} messages, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
