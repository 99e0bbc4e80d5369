"""What an operator does (OP)."""

from __future__ import annotations

import asyncio
import sys

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


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
