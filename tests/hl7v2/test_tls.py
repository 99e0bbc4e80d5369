"""TLS and mutual TLS of a feed, with real certificates over real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import ConfigError
from hawsepipe_conformance.feeds.certificates import Authority, Pair
from hawsepipe_conformance.feeds.line import Line, connect
from hawsepipe_hl7v2.framing import framed


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def server(authority: Authority) -> Pair:
    return authority.issue("server")


def tls(pair: Pair, **more: Any) -> dict[str, Any]:
    return {"certificate": str(pair.certificate), "key": str(pair.key)} | more


async def codes(bed: Any, context: ssl.SSLContext, *bodies: bytes) -> list[str]:
    """MSA-1 of each answer; `closed` when the connection does not stand."""
    try:
        line = await connect(bed.host, bed.port, context)
    except (OSError, ssl.SSLError):
        return ["closed"]
    for body in bodies:
        await line.send(framed(body))
    found = [ack.code for ack in await line.until(len(bodies), 5)]
    await line.close()
    return found or ["closed"]


async def counted(bed: Any, event: str) -> bool:
    """Whether an event comes to be counted once."""
    for _ in range(200):
        if bed.count("hawsepipe_feed_framing_events_total", event=event) == 1:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_messages_are_taken_over_tls(listen: Any, message: Any, authority: Authority, server: Pair) -> None:
    async with listen(tls=tls(server)) as bed:
        assert bed.secure
        assert await codes(bed, authority.client(), message("M1"), message("M2")) == ["AA", "AA"]
        assert bed.count("hawsepipe_feed_connections") in (0, 1)


async def test_what_is_sent_with_the_end_of_the_handshake_is_not_lost(
    listen: Any, message: Any, authority: Authority, server: Pair
) -> None:
    async with listen(tls=tls(server)) as bed:
        many = [codes(bed, authority.client(), message(f"M{number}")) for number in range(50)]
        assert await asyncio.gather(*many) == [["AA"]] * 50


async def test_a_sender_that_speaks_plainly_is_closed_at_once_and_counted(
    listen: Any, message: Any, server: Pair
) -> None:
    async with listen(tls=tls(server)) as bed:
        line = await connect(bed.host, bed.port)
        await line.send(framed(message()))
        assert await line.hung_up(5)
        assert await counted(bed, "plain_on_tls_port")
        assert not bed.journal.messages
        await line.close()


async def test_one_that_says_nothing_is_closed_when_its_time_is_up(listen: Any, server: Pair) -> None:
    async with listen(tls=tls(server, handshake_seconds=0.1)) as bed:
        line = await connect(bed.host, bed.port)
        assert await line.hung_up(5)
        assert await counted(bed, "handshake")
        await line.close()


async def test_a_client_needs_a_certificate_when_the_feed_names_who_issues_them(
    listen: Any, message: Any, authority: Authority, server: Pair, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path / "stranger", "Another authority").issue("adt")
    async with listen(tls=tls(server, client_ca=str(authority.certificate))) as bed:
        assert await codes(bed, authority.client(), message()) == ["closed"]
        assert await counted(bed, "client_certificate")
        assert await codes(bed, authority.client(stranger), message()) == ["closed"]
        assert await codes(bed, authority.client(authority.issue("old", expired=True)), message()) == ["closed"]
        assert not bed.journal.messages
        assert await codes(bed, authority.client(authority.issue("adt")), message()) == ["AA"]


async def test_a_revoked_certificate_is_refused(listen: Any, message: Any, authority: Authority, server: Pair) -> None:
    good, bad = authority.issue("good"), authority.issue("bad")
    settings = tls(server, client_ca=str(authority.certificate), revoked=str(authority.revoke(bad)))
    async with listen(tls=settings) as bed:
        assert await codes(bed, authority.client(bad), message()) == ["closed"]
        assert await codes(bed, authority.client(good), message()) == ["AA"]


@pytest.mark.parametrize("by", ["fingerprint", "name"])
async def test_a_certificate_stands_for_the_senders_that_it_is_bound_to(
    listen: Any, message: Any, authority: Authority, server: Pair, by: str
) -> None:
    adt, other, unbound = authority.issue("adt"), authority.issue("lab"), authority.issue("guest")
    spelt = ":".join(adt.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
    clients = [
        {"senders": ["ADT1|GOOD"]} | ({"fingerprint": spelt} if by == "fingerprint" else {"name": "adt"}),
        {"name": "lab", "senders": ["LAB|GOOD"]},
    ]
    async with listen(tls=tls(server, client_ca=str(authority.certificate), clients=clients)) as bed:
        assert await codes(bed, authority.client(adt), message("M1")) == ["AA"]
        assert await codes(bed, authority.client(other), message("M2")) == ["AR"]
        assert await codes(bed, authority.client(unbound), message("M3")) == ["AR"]
        assert [refusal is None for _, _, refusal in bed.journal.messages] == [True, False, False]
        assert bed.count("hawsepipe_feed_framing_events_total", event="foreign_sender") == 2


async def test_a_certificate_that_stands_for_nobody_does_not_get_the_answer_that_the_sender_got(
    listen: Any, message: Any, authority: Authority, server: Pair
) -> None:
    adt, unbound = authority.issue("adt"), authority.issue("guest")
    clients = [{"name": "adt", "senders": ["ADT1|GOOD"]}]
    async with listen(tls=tls(server, client_ca=str(authority.certificate), clients=clients)) as bed:
        assert await codes(bed, authority.client(adt), message("M1")) == ["AA"]
        assert await codes(bed, authority.client(unbound), message("M1"), message("M2")) == ["AR", "AR"]
        assert await codes(bed, authority.client(adt), message("M1"), message("M2")) == ["AA", "AA"]
        refused = [refusal is not None for _, _, refusal in bed.journal.messages]
        assert refused == [False, True, True, False]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
@pytest.mark.parametrize(
    ("minimum", "newest", "expected"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_1, "closed"),
        ("1.2", ssl.TLSVersion.TLSv1_2, "AA"),
        ("1.3", ssl.TLSVersion.TLSv1_2, "closed"),
        ("1.3", ssl.TLSVersion.TLSv1_3, "AA"),
    ],
)
async def test_older_versions_of_tls_are_refused(
    listen: Any,
    message: Any,
    authority: Authority,
    server: Pair,
    minimum: str,
    newest: ssl.TLSVersion,
    expected: str,
) -> None:
    async with listen(tls=tls(server, minimum=minimum)) as bed:
        assert await codes(bed, authority.client(newest=newest), message()) == [expected]


def replace(source: Pair, target: Pair) -> None:
    """Put new files where the old ones are, each at once."""
    for old, new in ((target.key, source.key), (target.certificate, source.certificate)):
        other = old.with_suffix(".new")
        shutil.copy(new, other)
        os.replace(other, old)


async def served(bed: Any, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(bed.host, bed.port, ssl=context, server_hostname="localhost")
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return shown


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.01)


async def test_new_files_are_taken_without_dropping_a_connection(
    listen: Any, message: Any, authority: Authority, server: Pair
) -> None:
    def reloads(bed: Any, event: str) -> float:
        return float(bed.count("hawsepipe_feed_framing_events_total", event=event))

    async with listen(tls=tls(server, reload_seconds=0.02)) as bed:
        line: Line = await connect(bed.host, bed.port, authority.client())
        await line.send(framed(message("M1")))
        await line.until(1)
        first = await served(bed, authority.client())
        # Half of a pair does not fit: what was there stays in use.
        os.replace(shutil.copy(authority.issue("other").key, server.key.with_suffix(".new")), server.key)
        await until(lambda: reloads(bed, "tls_reload_failed") >= 1)
        assert await served(bed, authority.client()) == first
        replace(authority.issue("server2"), server)
        await until(lambda: reloads(bed, "tls_reload") >= 1)
        assert await served(bed, authority.client()) != first
        await line.send(framed(message("M2")))
        assert [ack.code for ack in await line.until(2)] == ["AA", "AA"]
        await line.close()


@pytest.mark.parametrize(
    ("change", "key", "reason"),
    [
        ({"certificate": "missing.pem"}, "tls.certificate", "cannot be read"),
        ({"key": "missing.key"}, "tls.key", "cannot be read"),
        ({"key": "OTHER"}, "tls.key", "is not the key of the certificate"),
        ({"certificate": "NOISE"}, "tls.certificate", "is not PEM of a certificate"),
        ({"key": "NOISE"}, "tls.key", "is not PEM of a key"),
        ({"client_ca": "NOISE"}, "tls.client_ca", "is not PEM"),
        ({"client_ca": "missing.pem"}, "tls.client_ca", "cannot be read"),
    ],
)
async def test_files_that_do_not_do_are_named_by_their_key(
    listen: Any, authority: Authority, server: Pair, tmp_path: Path, change: dict[str, str], key: str, reason: str
) -> None:
    (tmp_path / "noise").write_text("nothing of the kind")
    known = {"OTHER": str(authority.issue("other").key), "NOISE": str(tmp_path / "noise")}
    settings = tls(server) | {name: known.get(value, value) for name, value in change.items()}
    with pytest.raises(ConfigError) as caught:
        async with listen(tls=settings):
            pass
    assert caught.value.key == key
    assert reason in caught.value.reason
