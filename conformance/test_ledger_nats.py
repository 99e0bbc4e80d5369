"""The ledger in NATS JetStream keeps the contract of ledger backends, on a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig

from hawsepipe import ConfigError, LedgerUnavailable
from hawsepipe_conformance import servers
from hawsepipe_conformance.ledger import CHANNEL, LedgerContract, checkpoint, opened

PLUGIN = "hawsepipe_ledger_nats.plugin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Server]:
    with servers.nats(tmp_path_factory.mktemp("stream")) as running:
        yield running


def address(server: servers.Server) -> str:
    return f"nats://127.0.0.1:{server.port}"


class TestLedgerNats(LedgerContract):
    """The kind `nats`: a stream a ledger."""

    plugin = PLUGIN
    kind_name = "nats"

    @pytest.fixture(autouse=True)
    def _servers(self, server: servers.Server) -> None:
        self.servers = [address(server)]

    def settings_in(self, directory: Path) -> Mapping[str, Any]:
        return {"servers": self.servers, "stream": f"ledger-{sha256(str(directory).encode()).hexdigest()[:16]}"}


async def test_a_checkpoint_is_found_among_those_of_many_channels(server: servers.Server, tmp_path: Path) -> None:
    settings = {"servers": [address(server)], "stream": "many"}
    async with opened(PLUGIN, "nats", tmp_path, settings) as ledger:
        heads: dict[str, Any] = {}
        handles = []
        for size in range(1, 40):
            name = f"ledger.example/{size % 3}"
            new = checkpoint(size * 2, channel=name)
            handles.append(await ledger.publish(new, heads.get(name)))
            heads[name] = new
        assert {await ledger.status(handle) for handle in handles} == {"final"}
        assert [one.size for one in await ledger.scan("ledger.example/1", 9)] == [
            14,
            20,
            26,
            32,
            38,
            44,
            50,
            56,
            62,
            68,
            74,
        ]
        connection = await nats.connect(address(server))
        subject = f"many.{sha256(CHANNEL.encode()).hexdigest()}"
        await connection.jetstream().publish(subject, b"something else")
        await connection.close()
        with pytest.raises(LedgerUnavailable, match="no checkpoint"):
            await ledger.head(CHANNEL)


async def test_a_stream_that_may_be_deleted_from_is_not_a_ledger(server: servers.Server, tmp_path: Path) -> None:
    connection = await nats.connect(address(server))
    await connection.jetstream().add_stream(StreamConfig(name="loose", subjects=["loose.*"]))
    await connection.jetstream().add_stream(
        StreamConfig(name="short", subjects=["short.*"], max_msgs=10, deny_delete=True, deny_purge=True)
    )
    await connection.close()
    for stream, reason in (("loose", "deletion"), ("short", "limits")):
        async with opened(PLUGIN, "nats", tmp_path, {"servers": [address(server)], "stream": stream}) as ledger:
            with pytest.raises(LedgerUnavailable, match=reason):
                await ledger.publish(checkpoint(3), None)


async def test_a_server_that_dies_is_unavailable_and_found_again(tmp_path: Path) -> None:
    with servers.nats(tmp_path / "server") as server:
        settings = {"servers": [address(server)], "timeout_seconds": 2}
        async with opened(PLUGIN, "nats", tmp_path, settings) as ledger:
            await ledger.publish(checkpoint(3), None)
            server.kill()
            with pytest.raises(LedgerUnavailable):
                await ledger.publish(checkpoint(5), checkpoint(3))
            server.start()
            async with opened(PLUGIN, "nats", tmp_path, settings) as other:
                assert await other.head(CHANNEL) == checkpoint(3)
            for _ in range(100):
                try:
                    await ledger.publish(checkpoint(5), checkpoint(3))
                    break
                except LedgerUnavailable:
                    await asyncio.sleep(0.1)
            assert await ledger.head(CHANNEL) == checkpoint(5)


async def test_it_opens_while_the_servers_are_away(tmp_path: Path) -> None:
    settings = {"servers": ["nats://127.0.0.1:1"], "timeout_seconds": 1}
    async with opened(PLUGIN, "nats", tmp_path, settings) as ledger:
        with pytest.raises(LedgerUnavailable):
            await ledger.health()


async def test_a_password_in_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="credentials") as raised:
        async with opened(PLUGIN, "nats", tmp_path, {"servers": ["nats://a:geheim@localhost:4222"]}):
            pass
    assert "geheim" not in str(raised.value)
