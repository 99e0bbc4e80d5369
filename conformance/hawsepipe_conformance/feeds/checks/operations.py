"""What an operator does (OP)."""

from __future__ import annotations

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from time import monotonic

from hawsepipe_conformance.feeds.checks.recovery import store_file
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import connect, framed
from hawsepipe_conformance.feeds.product import free_port
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


_STORED = 1_000_000
_ASKED = 40
_SLOWEST = 0.3
_PEOPLE = 50
_START = datetime(2026, 1, 1, tzinfo=UTC)


def _fill(file: Path, feed: str) -> None:
    """Put a million messages into the journal of a store that nobody has open: one a second, of every hundredth a
    letter, about people who have fifty each; those who are there already get some of them.
    """
    micros = int(_START.timestamp()) * 1_000_000
    body = b"MSH|^~\\&|ADT1|GOOD|MW|HUB|20260101||ADT^A01^ADT_A01|%d|P|2.5.1\r" + b"Z" * 200
    with sqlite3.connect(file) as store:
        first = store.execute("SELECT max(sequence) + 1 FROM journal").fetchone()[0]
        known = [key for (key,) in store.execute("SELECT DISTINCT person FROM concern")]

        def rows() -> Iterator[tuple[object, ...]]:
            for n in range(_STORED):
                dead = n % 100 == 0
                text = body % n
                yield (
                    *(first + n, feed, f"ADT1|GOOD|N{n}", sha256(text).digest(), micros + n * 1_000_000, text),
                    *("dead" if dead else "applied", "mapping" if dead else None, "PID-3" if dead else None),
                    *(f"reason {n} of many" if dead else None, micros + n * 1_000_000),
                )

        store.executemany(
            "INSERT INTO journal (sequence, feed, key, digest, media_type, received_at, body, reply, state, cause,"
            " location, text, label, settled_at, leaf)"
            " VALUES (?, ?, ?, ?, 'application/hl7-v2', ?, ?, x'', ?, ?, ?, ?, 'ADT^A01', ?, 0)",
            rows(),
        )
        people = (
            (known[n // 1000 % len(known)] if n % 1000 == 0 else 1000 + n // 50, first + n) for n in range(_STORED)
        )
        store.executemany("INSERT INTO concern (person, sequence) VALUES (?, ?)", people)
    store.close()


@CHECKS.case("OP-02", "p95 < 300 ms (indexed metadata)")
async def _found(stage: Stage) -> None:
    async with stage.alone() as own:
        product = own.local()
        people = [f"{own.person}-{n}" for n in range(_PEOPLE)]
        await own.send(*(own.admission(f"OP02-{n}", who).body() for n, who in enumerate(people)))
        await product.end(signal.SIGTERM)
        await asyncio.to_thread(_fill, store_file(own), own.feed)
        await product.start()
        every = _STORED // _ASKED

        def hour(n: int) -> dict[str, str]:
            begin = _START + timedelta(seconds=n * every)
            return {"since": begin.isoformat(), "until": (begin + timedelta(hours=1)).isoformat()}

        asked: dict[str, list[tuple[dict[str, str], int]]] = {
            "MRN": [({"identifier": who}, 1 + _STORED // 1000 // _PEOPLE) for who in people[:_ASKED]],
            "control id": [({"control": f"N{n * every + 7}"}, 1) for n in range(_ASKED)],
            "error text": [({"text": f"reason {n * every} of"}, 1) for n in range(_ASKED)],
            "time": [(hour(n), 200) for n in range(_ASKED)],
        }
        for kind, queries in asked.items():
            took: list[float] = []
            for query, wanted in queries:
                begun = monotonic()
                found = await product.get(f"{product.origin}/ops/messages", query)
                took.append(monotonic() - begun)
                own.claim(f"by {kind}: what there is (found {len(found)} of {wanted})", len(found) == wanted)
            late = sorted(took)[int(len(took) * 0.95)]
            own.claim(f"by {kind}: p95 below 300 ms ({late * 1000:.0f} ms)", late < _SLOWEST)


async def _run(*words: str) -> tuple[int, str]:
    """Run `hawsepipe`; return its exit status and what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hawsepipe", *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


@CHECKS.case("OP-04", "diff of outputs, no writes")
async def _dry_run(stage: Stage) -> None:
    async with stage.alone() as own:
        async with own.line() as line:
            bodies = [own.admission(f"OP04-{n}", f"OP04-{n % 40}").body() for n in range(1000)]
            sending = asyncio.create_task(line.send(b"".join(framed(body) for body in bodies)))
            codes = [ack.code for ack in await line.until(1000, 120)]
            await sending
        own.claim("a thousand messages are stored", codes == ["AA"] * 1000)
        await own.product.settled(200)
        config = own.local().config
        other = config.with_name("other.toml")
        text = config.read_text(encoding="utf-8")
        other.write_text(text.replace('timezone = "Europe/Berlin"', 'original = "none"'), encoding="utf-8")
        before = await own.product.total("hawsepipe_store_versions_total")
        same, told = await _run("messages", "compare", "-c", str(config), "--with", str(config), "--last", "1000")
        own.claim(f"the same rules differ in nothing ({told[-60:].strip()})", same == 0 and "1000 messages, 0" in told)
        status, told = await _run("messages", "compare", "-c", str(config), "--with", str(other), "--last", "1000")
        own.claim("other rules are told apart", status == 1 and "1000 messages, 1000 of them differ" in told)
        own.claim("by what differs", "- DocumentReference" in told)
        after = await own.product.total("hawsepipe_store_versions_total")
        own.claim("no writes", before == after and before > 0)
        own.claim("nothing new in the journal", await own.grown("hawsepipe_feed_messages_received_total") == 1000)


_FAILURES = 3600
_OUTAGE = """
[alerts]
remind_seconds = 2
[[destinations]]
name = "lab"
kind = "mllp-sender"
feeds = ["{feed}"]
retry = {{ first_seconds = 0.001, most_seconds = 0.001, failures = 3, pause_seconds = 0.001 }}
settings = {{ host = "127.0.0.1", port = {port}, timeout_seconds = 5 }}
"""


@CHECKS.case("OP-05", "1 open + reminders, 1 close; not 3600")
async def _noise(stage: Stage) -> None:
    port = free_port()
    async with stage.alone(further=_OUTAGE.format(feed=stage.feed, port=port)) as own:
        product = own.local()
        own.claim("taken", await own.send(own.admission("OP05").body()) == ["AA"])
        end = monotonic() + 120
        while await product.total("hawsepipe_delivery_failures_total") < _FAILURES and monotonic() < end:
            await asyncio.sleep(0.5)
        failures = await product.total("hawsepipe_delivery_failures_total")
        own.claim(f"there are many failures ({failures:.0f})", failures >= _FAILURES)
        notices = [await product.total("hawsepipe_alert_notices_total", notice=it) for it in ("opened", "closed")]
        own.claim(f"one alert is open (found {notices})", notices == [1, 0])
        received: list[bytes] = []

        async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            received.append(await reader.readuntil(b"\x1c\r"))
            writer.write(framed(b"MSH|^~\\&|R|R|H|H|2026||ACK|A|P|2.5.1\rMSA|AA|OP05\r"))
            await writer.drain()
            await reader.read()
            writer.close()

        server = await asyncio.start_server(receive, "127.0.0.1", port)
        while not await product.total("hawsepipe_alert_notices_total", notice="closed") and monotonic() < end:
            await asyncio.sleep(0.1)
        server.close()
        lines = [line for line in product.log().splitlines() if '"notice"' in line]
        told = [json.loads(line)["notice"] for line in lines]
        own.claim(f"opened, reminded of, closed (found {told})", told[:1] + told[-1:] == ["opened", "closed"])
        own.claim("there are reminders in between", set(told[1:-1]) == {"reminder"})
        own.claim(f"and not many ({len(told)})", len(told) <= 62)
        others = [line for line in product.log().splitlines() if "deliver" in line and line not in lines]
        own.claim(f"nor does the log tell of each failure ({len(others)} lines)", len(others) < 20)
        own.claim("it was delivered once", len(received) == 1)


@CHECKS.case("OP-06", "version, author, diff, rollback; applied without restarting other feeds")
async def _edited(stage: Stage) -> None:
    async with stage.alone({"other": {}}) as own:
        product = own.local()
        debugging = own.admission("OP06").set("MSH-11", "D").body()
        own.claim("refused before", await own.send(debugging) == ["AR"])
        address = await product.feed("other")
        other = await connect(address.host, address.port)
        await other.send(framed(own.admission("OP06-o1").body()))
        own.claim("the other feed serves", [ack.code for ack in await other.until(1)] == ["AA"])
        before = product.config.read_text(encoding="utf-8")
        # The feeds of a plan take any free port; what is edited here keeps the one that it has.
        here = await product.feed(own.feed)
        edited = before.replace("port = 0", f'accept = {{ processing_ids = ["P", "D"] }}\nport = {here.port}', 1)
        product.config.write_text(edited, encoding="utf-8")
        status, told = await _run("config", "apply", "--author", "Practitioner/7", "-c", str(product.config))
        own.claim(
            f"applied to the edited feed alone ({told.strip()})", status == 0 and told.endswith(f": {own.feed}\n")
        )
        later = own.admission("OP06-2").set("MSH-11", "D").body()
        own.claim("what was edited holds", await own.send(later) == ["AA"])
        _, told = await _run("config", "versions", "-c", str(product.config))
        rows = [line.split() for line in told.splitlines()]
        own.claim(f"versions with their authors (found {rows})", [row[0] for row in rows] == ["1", "2"])
        own.claim("the author is named", rows[-1][-1] == "Practitioner/7")
        _, told = await _run("config", "diff", "1", "2", "-c", str(product.config))
        own.claim("the difference is told", '+accept = { processing_ids = ["P", "D"] }' in told.splitlines())
        status, _ = await _run("config", "rollback", "1", "-c", str(product.config))
        own.claim("rolled back", status == 0 and product.config.read_text(encoding="utf-8") == before)
        _, told = await _run("config", "versions", "-c", str(product.config))
        own.claim("which is a version too", told.splitlines()[-1].split()[0] == "3")
        await other.send(framed(own.admission("OP06-o2").body()))
        own.claim("over its old connection the other feed serves on", len(await other.until(2)) == 2)
        await other.close()
