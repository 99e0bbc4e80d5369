"""Security (SC)."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hawsepipe_conformance.feeds.certificates import Authority, Pair
from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.line import framed
from hawsepipe_conformance.feeds.stage import Stage

CHECKS = Checks()


@asynccontextmanager
async def guarded(stage: Stage, **more: Any) -> AsyncIterator[tuple[Stage, Authority, Pair]]:
    """A service of the case's own whose feed wants certificates; `more` are further settings of its TLS."""
    with tempfile.TemporaryDirectory(prefix="hawsepipe-tls-") as folder:
        authority = Authority(Path(folder))
        server = authority.issue("server")
        settings = {
            "certificate": str(server.certificate),
            "key": str(server.key),
            "client_ca": str(authority.certificate),
            "revoked": str(authority.revoke()),
            "reload_seconds": 0.2,
            **more,
        }
        async with stage.alone(tls=settings) as own:
            yield own, authority, server


async def _sent(stage: Stage, context: ssl.SSLContext, body: bytes) -> list[str]:
    """MSA-1 of the answers over TLS; none when the connection is refused."""
    try:
        async with stage.line(context) as line:
            await line.send(framed(body))
            return [ack.code for ack in await line.until(1, 5)]
    except OSError:
        return []


@CHECKS.case("SC-01", "handshake refused; counted with peer address")
async def _no_certificate(stage: Stage) -> None:
    async with guarded(stage) as (own, authority, _):
        own.claim("refused", not await _sent(own, authority.client(), own.admission("SC01").body()))
        event = await own.grown("hawsepipe_feed_framing_events_total", event="client_certificate")
        own.claim("counted", event == 1)
        lines = [line for line in own.local().log().splitlines() if "client_certificate" in line]
        own.claim("with the peer's address", len(lines) == 1 and '"address": "127.0.0.1"' in lines[0])
        good = authority.client(authority.issue("adt"))
        own.claim("with a certificate it is taken", await _sent(own, good, own.admission("SC01b").body()) == ["AA"])


@CHECKS.case("SC-02", "AR, audit entry; no data stored as accepted")
async def _unbound(stage: Stage) -> None:
    async with guarded(stage, clients=[{"name": "adt", "senders": ["ADT1|GOOD"]}]) as (own, authority, _):
        adt, guest = (authority.client(authority.issue(name)) for name in ("adt", "guest"))
        body, other = own.admission("SC02").body(), own.admission("SC02b").set("MSH-4", "OTHER").body()
        own.claim("AR for a certificate that is not bound", await _sent(own, guest, body) == ["AR"])
        codes = await _sent(own, adt, other)
        own.claim(f"AR for another sender's name (found {codes})", codes == ["AR"])
        await own.settled()
        own.claim("an entry of each", len(await own.letters()) == 2)
        own.claim("nothing has an effect", not await own.provenances(body) and not await own.provenances(other))
        own.claim("the bound one is taken", await _sent(own, adt, own.admission("SC02c").body()) == ["AA"])


@CHECKS.case("SC-03", "refused; new certificate picked up without dropping connections")
async def _expired_and_new(stage: Stage) -> None:
    async with guarded(stage) as (own, authority, server):
        bad, good = authority.issue("bad"), authority.issue("good")
        expired = authority.client(authority.issue("old", expired=True))
        own.claim("an expired one is refused", not await _sent(own, expired, own.admission("SC03").body()))
        async with own.line(authority.client(good)) as line:
            await line.send(framed(own.admission("SC03b").body()))
            await line.until(1)
            authority.revoke(bad)
            fresh = authority.issue("fresh")
            os.replace(fresh.key, server.key)
            os.replace(fresh.certificate, server.certificate)
            for _ in range(100):
                if await own.grown("hawsepipe_feed_framing_events_total", event="tls_reload"):
                    break
                await asyncio.sleep(0.05)
            shown = hashlib.sha256(await _shown(own, authority.client(good))).hexdigest()
            own.claim("the new certificate is shown", shown == fresh.fingerprint)
            revoked = await _sent(own, authority.client(bad), own.admission("SC03c").body())
            own.claim("a revoked one is refused", not revoked)
            await line.send(framed(own.admission("SC03d").body()))
            codes = [ack.code for ack in await line.until(2)]
            own.claim("the open connection goes on", codes == ["AA", "AA"])


async def _shown(stage: Stage, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown."""
    address = await stage.product.feed(stage.feed)
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context, server_hostname="localhost")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


@CHECKS.case("FR-18", "closed within 5 s with a clear operator message 'peer speaks TLS/plain'; no stack trace flood")
async def _wrong_language(stage: Stage) -> None:
    async with stage.alone() as own:
        try:
            async with own.line(ssl.create_default_context()) as line:
                own.claim("nobody speaks TLS here", line.closed.is_set())
        except (OSError, TimeoutError):
            pass
        own.claim("told: peer speaks TLS", "peer speaks TLS" in own.local().log())
        own.claim("no stack trace", "Traceback" not in own.local().log())
    async with guarded(stage) as (own, _, _server):
        async with own.line() as line:
            await line.send(framed(own.admission("FR18").body()))
            closed = await line.hung_up(5)
        own.measure(conn="closed" if closed else "open")
        for _ in range(100):
            if "peer speaks plain" in own.local().log():
                break
            await asyncio.sleep(0.05)
        own.claim("told: peer speaks plain", "peer speaks plain" in own.local().log())
        own.claim("no stack trace", "Traceback" not in own.local().log())


@CHECKS.case(
    "SC-04",
    "AR + alert; identity comes from channel, not from MSH",
    accept={"senders": ["ADT1|GOOD"]},
)
async def _spoofed(stage: Stage) -> None:
    body = stage.admission("SC04").set("MSH-4", "OTHER").body()
    stage.claim("AR", await stage.send(body) == ["AR"])
    stage.claim("no effect", not await stage.provenances(body))
    stage.claim("an alert", await stage.grown("hawsepipe_feed_framing_events_total", event="foreign_sender") == 1)
    stage.claim("visible", len(await stage.letters()) == 1)
    stage.claim("the feed's own sender is taken", await stage.send(stage.admission("SC04b").body()) == ["AA"])


@CHECKS.case("SC-08", "grep of logs finds no name, MRN, DOB used in the suite")
async def _no_patient_data(stage: Stage) -> None:
    # A service of its own, so that its whole log is known; each kind of message passes through each kind of fate.
    async with stage.alone() as own:
        words = ("QUILLFEATHER", "OPHELIA", "19710613", "1971-06-13", "MRN-SC08-77", "LARKSPUR")

        def bodies() -> list[bytes]:
            drafts = [own.admission("SC08", words[4]), own.result("SC08r", words[4])]
            drafts += [own.admission("SC08x", words[4]).set("MSH-12", "9.9"), own.result("SC08y", words[4])]
            drafts[3].set("OBX-2", "NM").set("OBX-5", words[0])
            for draft in drafts:
                draft.set("PID-5", f"{words[0]}^{words[1]}").set("PID-7", words[2]).set("PID-11", f"1 {words[5]} ST")
            return [draft.body() for draft in drafts] + [drafts[0].body()[:-200], drafts[0].body() + b"\x1c\xff"]

        async with own.line() as line:
            for body in bodies():
                await line.send(b"\x0b" + body + b"\x1c\r")
            await line.until(6)
        await own.settled()
        await own.patient(words[4])
        shown = own.local().log() + "".join(f"{sample}" for sample in await own.product.samples())
        own.claim("the service has logged", "dead letter" in shown)
        for word in words:
            own.claim(f"{word} is nowhere", word not in shown)


@CHECKS.case("SC-10", "refused")
async def _paths(stage: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="hawsepipe-files-") as name:
        root = Path(name)
        watched, outside = root / "in", root / "outside"
        watched.mkdir()
        outside.mkdir()
        kind: dict[str, Any] = {
            "kind": "hl7v2-files",
            "directory": str(watched),
            "interval_seconds": 0.1,
            "settle_seconds": 0.1,
        }
        async with stage.alone(**kind) as own:
            bodies = [own.admission(f"SC10-{n}", f"{own.person}-{n}").body() for n in range(4)]
            secret = outside / "x.hl7"
            secret.write_bytes(bodies[0])
            (watched / "link.hl7").symlink_to(secret)
            (watched / "deep.hl7").symlink_to("../outside/x.hl7")
            (watched / "folder.hl7").symlink_to(outside, target_is_directory=True)
            (watched / "..%2f..%2foutside%2fy.hl7").write_bytes(bodies[1])
            (watched / "good.hl7").write_bytes(bodies[2])
            for _ in range(300):
                if (watched / "done" / "good.hl7").exists():
                    break
                await asyncio.sleep(0.1)
            await own.settled()
            counts = [len(await own.provenances(body)) for body in (bodies[0], bodies[0].rstrip())]
            own.claim("what a link points to is not read", counts == [0, 0])
            own.claim("it stays where it was", secret.read_bytes() == bodies[0])
            own.claim("nothing was written outside", [path.name for path in outside.iterdir()] == ["x.hl7"])
            counts = [len(await own.provenances(body)) for body in (bodies[1], bodies[1].rstrip())]
            own.claim("a name that begins like a path is left alone", counts == [0, 0])
            done = sorted(path.name for path in (watched / "done").glob("*.hl7"))
            own.claim(f"an honest file is taken (found {done})", done == ["good.hl7"])
