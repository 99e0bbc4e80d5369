"""What survives (DR): a loss of power, a clock that jumps, a replay of many letters, an upgrade with a backlog."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
import tempfile
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from hawsepipe_conformance.feeds.cases import Unclear
from hawsepipe_conformance.feeds.checks.durability import until_cut_off
from hawsepipe_conformance.feeds.checks.lanes import POISON, update
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.launcher import lose_power
from hawsepipe_conformance.feeds.product import Plan, command
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()
_LAUNCHER = ("-m", "hawsepipe_conformance.feeds.launcher")
_LOSSES = 8
_LETTERS = 500
_HOUR = 3600


def store_file(stage: Stage) -> Path:
    """Return the file of the store."""
    return stage.local().folder / "hawsepipe-data" / "store" / "store.db"


@CHECKS.case("DR-06", "acked set is a subset of the recovered set")
async def _power(stage: Stage) -> None:
    chance = random.Random(20261121)
    with tempfile.TemporaryDirectory(prefix="hawsepipe-disk-") as folder:
        diary = Path(folder) / "diary"
        async with stage.alone(entry=(*_LAUNCHER, "--disk", str(diary))) as own:
            product, acknowledged, sent = own.local(), set[bytes](), list[bytes]()
            await product.end(signal.SIGTERM)
            for turn in range(_LOSSES):
                root = product.folder / "hawsepipe-data"
                before = {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}
                await product.start()
                lanes = [
                    [own.admission(f"P{turn}-{lane}-{n}", f"P-{turn}-{lane}-{n}").body() for n in range(200)]
                    for lane in range(8)
                ]
                sent += [body for lane in lanes for body in lane]
                tasks = [asyncio.create_task(until_cut_off(own, lane, acknowledged)) for lane in lanes]
                await asyncio.sleep(chance.uniform(0.1, 1.5))
                await product.end(signal.SIGKILL)
                await asyncio.gather(*tasks)
                lose_power(diary, before, chance)
            await product.start()
            await product.settled(120)
            counts = {body: len(await own.provenances(body)) for body in sent}
            lost = sum(not counts[body] for body in acknowledged)
            own.claim(f"of {len(acknowledged)} acknowledged messages {lost} are lost", acknowledged and not lost)
            own.claim("no effect is doubled", max(counts.values()) == 1)
            whole = sqlite3.connect(store_file(own))
            own.claim("the store is whole", whole.execute("PRAGMA integrity_check").fetchone() == ("ok",))
            whole.close()


@CHECKS.case("DR-15", "ids and ledger times stay monotonic; no expiry storms")
async def _clock(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="hawsepipe-clock-") as folder:
        offset = Path(folder) / "offset"
        offset.write_text("0", encoding="ascii")
        async with stage.alone(entry=(*_LAUNCHER, "--clock", str(offset))) as own:
            bodies = [own.admission(f"DR15-{n}", f"{own.person}-{n}").body() for n in range(4)]
            async with own.line() as line:
                for number, body in enumerate(bodies, 1):
                    if number == 3:
                        offset.write_text(str(-_HOUR), encoding="ascii")
                        own.local().forget_token()
                    await line.send(b"\x0b" + body + b"\x1c\r")
                    acks = await line.until(number)
                    own.claim(f"message {number} is acknowledged", [ack.code for ack in acks] == ["AA"] * number)
                own.claim("the connection stands", not line.closed.is_set())
            await own.settled()
            token = await own.local().token_for()
            own.claim("a new token holds", await own.local().allowed("/fhir/Patient", token) == 200)
            proofs = [(await own.provenances(body))[0] for body in bodies]
            times = [proof["meta"]["lastUpdated"] for proof in proofs]
            own.claim(f"instants never go back (found {times})", times == sorted(set(times)))
            places = [await leaf(own, proof["id"]) for proof in proofs]
            own.claim(f"places in the log grow (found {places})", places == sorted(set(places)))
            own.claim("ready", await own.product.status("/health/ready") == 200)


async def leaf(stage: Stage, proof: str) -> int:
    """Return the place of a Provenance in the log, once it has one."""
    with sqlite3.connect(f"file:{store_file(stage)}?mode=ro", uri=True) as store:
        row = store.execute(
            "SELECT leaf.sequence FROM resource r JOIN version v ON v.key = (r.key << 24) | 1"
            " JOIN leaf ON leaf.commitment = v.commitment WHERE r.id = ?",
            (proof,),
        ).fetchone()
    if row is None:
        raise Unclear("a Provenance has no place in the log")
    return int(row[0])


@CHECKS.case("DR-16", "dry-run diff first; replay keeps link to original; each effect once; permission + audit entry")
async def _replay(stage: Stage) -> None:
    async with stage.alone(accept=POISON) as own:
        product = own.local()
        bodies = [
            update(own, f"DR16-{n}", "NAME", person=f"{own.person}-{n}").event("ADT^A99").body()
            for n in range(_LETTERS)
        ]
        own.claim("all are acknowledged", set(await own.send(*bodies)) == {"AA"})
        letters = await own.letters()
        own.claim(f"all are set aside ({len(letters)})", len(letters) == _LETTERS)
        await product.end(signal.SIGTERM)
        product.plan(Plan({own.feed: {"accept": POISON, "translator": {"unmapped_events": ["ADT^A99"]}}}))
        await product.start()
        first = letters[0]["sequence"]
        shown = await command("dead-letters", "retry", str(first), "--dry-run", "-c", str(product.config))
        own.claim("the difference is shown first", "Patient/" in shown and "+" in shown)
        own.claim("which changes nothing", not await own.provenances(bodies[0]))
        weak = await product.token_for("user/*.rs")
        own.claim("it takes a permission", await product.allowed("/ops/dead-letters", weak) == 403)
        await command("dead-letters", "retry", "--all", "--rate", "1000", "-c", str(product.config))
        await product.settled(120)
        counts = [len(await own.provenances(body)) for body in bodies]
        own.claim(f"each has one effect (found {set(counts)})", set(counts) == {1})
        own.claim("no letter is left", not await product.dead_letters(own.feed))
        with sqlite3.connect(f"file:{store_file(own)}?mode=ro", uri=True) as store:
            originals = {row[0] for row in store.execute("SELECT replay_of FROM journal WHERE state = 'applied'")}
        own.claim("each replay names its original", originals == {letter["sequence"] for letter in letters})
        told = (await command("accesses", "--json", "-c", str(product.config))).splitlines()
        seen = [entry["interaction"] for entry in map(json.loads, told) if entry["target"].startswith("journal/")]
        own.claim("who retried is recorded", seen.count("retry") == _LETTERS and "rehearse" in seen)


_BACKLOG = 300
_OLD = files("hawsepipe_conformance.feeds").joinpath("store_of_version_1.sql")


@CHECKS.case("DR-18", "migrated or readable; no loss")
async def _upgrade(stage: Stage) -> None:
    async with stage.alone() as own:
        product, file = own.local(), store_file(own)
        await product.end(signal.SIGTERM)
        newest = _version(own)
        for part in file.parent.iterdir():
            part.unlink()
        bodies = [own.admission(f"DR18-{n}", f"{own.person}-{n}").body() for n in range(_BACKLOG)]
        with sqlite3.connect(file, isolation_level=None) as old:
            old.executescript(_OLD.read_text(encoding="utf-8"))
            old.executemany(
                "INSERT INTO journal (feed, key, digest, media_type, received_at, body, reply, state, label)"
                " VALUES (?, ?, ?, 'application/hl7-v2', ?, ?, ?, 'received', '')",
                [
                    (own.feed, f"ADT1|GOOD|DR18-{n}", sha256(body).digest(), 1_772_000_000_000_000 + n, body, b"")
                    for n, body in enumerate(bodies)
                ],
            )
        old.close()
        await product.start()
        await product.settled(60)
        counts = [len(await own.provenances(body)) for body in bodies]
        own.claim(f"each has its effect once (found {set(counts)})", set(counts) == {1})
        own.claim("nothing is set aside", not await own.letters())
        await own.send(bodies[0])
        own.claim("one that comes again is known", len(await own.provenances(bodies[0])) == 1)
        own.claim("new ones are taken", await own.send(own.admission("DR18-new").body()) == ["AA"])
        own.claim("the store is of this version", _version(own) == newest > 1)


def _version(stage: Stage) -> int:
    with sqlite3.connect(f"file:{store_file(stage)}?mode=ro", uri=True) as store:
        return int(store.execute("PRAGMA user_version").fetchone()[0])
