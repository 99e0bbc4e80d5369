"""The ledger on an EVM chain keeps the contract of ledger backends, on a real node."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import hawsepipe_ledger_evm
from hawsepipe import AnchorStatus, ConfigError, LedgerUnavailable, Rejected, VerificationError
from hawsepipe_conformance.ledger import CHANNEL, LedgerContract, checkpoint, opened
from hawsepipe_conformance.servers import Server, anvil
from hawsepipe_ledger_evm.chain import artifact, deploy
from hawsepipe_ledger_evm.plugin import holder, public_key

PLUGIN = "hawsepipe_ledger_evm.plugin"
# The node's own accounts, the same in every development chain.
KEYS = (
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
)
ACCOUNTS = tuple(holder(bytes.fromhex(key)) for key in KEYS)
PUBLIC = tuple(public_key(account) for account in ACCOUNTS)


def url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with anvil(tmp_path_factory.mktemp("chain")) as running:
        yield running


class Contracts:
    """A contract for each name, with the files of the keys beside it."""

    def __init__(self, server: Server, directory: Path) -> None:
        self._server = server
        self.directory = directory
        self._made: dict[str, str] = {}
        for number, key in enumerate(KEYS):
            file = directory / f"anchor-{number}.key"
            file.write_text(key)
            file.chmod(0o600)

    def settings(
        self, name: str, *, anchors: int = 1, threshold: int = 1, keys: int = 1, first: int = 0
    ) -> dict[str, Any]:
        if name not in self._made:
            made: list[tuple[int, str]] = []
            addresses = [account.address for account in ACCOUNTS[:anchors]]
            making = deploy(url(self._server), ACCOUNTS[0], addresses, threshold, gas_price=None, patience=30)
            thread = threading.Thread(target=lambda: made.append(asyncio.run(making)))
            thread.start()
            thread.join()
            self._made[name] = made[0][1]
        return {
            "url": url(self._server),
            "chain_id": 31337,
            "contract": self._made[name],
            "anchors": list(PUBLIC[:anchors]),
            "threshold": threshold,
            "keys": [str(self.directory / f"anchor-{number}.key") for number in range(first, first + keys)],
            "confirmations": 1,
        }


@pytest.fixture(scope="module")
def contracts(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    return Contracts(server, tmp_path_factory.mktemp("keys"))


class TestLedgerEvm(LedgerContract):
    """The kind `evm`: a contract a ledger."""

    plugin = PLUGIN
    kind_name = "evm"

    @pytest.fixture(autouse=True)
    def _contracts(self, contracts: Contracts) -> None:
        self.contracts = contracts

    def settings_in(self, directory: Path) -> Mapping[str, Any]:
        return self.contracts.settings(str(directory))


async def rpc(server: Server, method: str, *parameters: Any) -> Any:
    async with aiohttp.ClientSession() as session:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        async with session.post(url(server), json=body) as answer:
            return (await answer.json())["result"]


async def test_a_checkpoint_joins_the_line_when_enough_anchors_have_signed(
    contracts: Contracts, tmp_path: Path
) -> None:
    first = contracts.settings("two of three", anchors=3, threshold=2)
    second = contracts.settings("two of three", anchors=3, threshold=2, first=1)
    async with opened(PLUGIN, "evm", tmp_path, first) as ours, opened(PLUGIN, "evm", tmp_path, second) as theirs:
        handle = await ours.publish(checkpoint(3), None)
        assert await ours.status(handle) is AnchorStatus.PENDING
        assert await ours.head(CHANNEL) is None
        with pytest.raises(LedgerUnavailable):
            await ours.receipt(handle)
        assert await ours.publish(checkpoint(3), None) == handle  # its own signature is not counted twice
        assert await ours.head(CHANNEL) is None
        assert await theirs.publish(checkpoint(3), None) == handle
        assert await ours.status(handle) is AnchorStatus.FINAL
        assert await ours.head(CHANNEL) == checkpoint(3)
        receipt = await ours.receipt(handle)
        trust = json.loads(json.dumps(dict(ours.trust())))
        ours.verify_receipt(receipt, checkpoint(3), trust)
        lines = receipt.proof["signatures"].split("\n")
        assert len(lines) == 2
        for signatures in (
            lines[:1],
            [lines[0], lines[0]],
            [lines[1], lines[0]],
            [PUBLIC[2] + lines[0][66:], lines[1]],
        ):
            forged = replace(receipt, proof={**receipt.proof, "signatures": "\n".join(signatures)})
            with pytest.raises(VerificationError):
                ours.verify_receipt(forged, checkpoint(3), trust)


async def test_a_checkpoint_is_final_only_after_enough_blocks(
    server: Server, contracts: Contracts, tmp_path: Path
) -> None:
    settings = contracts.settings("confirmed") | {"confirmations": 3}
    async with opened(PLUGIN, "evm", tmp_path, settings) as ledger:
        handle = await ledger.publish(checkpoint(3), None)
        assert await ledger.status(handle) is AnchorStatus.PENDING
        await rpc(server, "anvil_mine", "0x2")
        assert await ledger.status(handle) is AnchorStatus.FINAL
        assert (await ledger.receipt(handle)).size == 3


async def test_a_reorganised_chain_loses_what_was_not_final_and_takes_it_again(
    server: Server, contracts: Contracts, tmp_path: Path
) -> None:
    settings = contracts.settings("reorganised") | {"confirmations": 3}
    async with opened(PLUGIN, "evm", tmp_path, settings) as ledger:
        await rpc(server, "anvil_mine", "0x5")
        handle = await ledger.publish(checkpoint(3), None)
        await rpc(server, "anvil_reorg", 2, [])
        assert await ledger.status(handle) is AnchorStatus.UNKNOWN
        assert await ledger.head(CHANNEL) is None
        assert await ledger.publish(checkpoint(3), None) == handle
        await rpc(server, "anvil_mine", "0x3")
        assert await ledger.status(handle) is AnchorStatus.FINAL


async def test_a_contract_with_other_anchors_is_refused(contracts: Contracts, tmp_path: Path) -> None:
    settings = contracts.settings("others") | {"anchors": list(PUBLIC[:2])}
    async with opened(PLUGIN, "evm", tmp_path, settings) as ledger:
        with pytest.raises(Rejected, match="anchors"):
            await ledger.publish(checkpoint(3), None)
    nowhere = contracts.settings("others") | {"contract": "0x" + "12" * 20}
    async with opened(PLUGIN, "evm", tmp_path, nowhere) as ledger:
        with pytest.raises(Rejected, match="no contract"):
            await ledger.head(CHANNEL)
    elsewhere = contracts.settings("others") | {"chain_id": 1}
    async with opened(PLUGIN, "evm", tmp_path, elsewhere) as ledger:
        with pytest.raises(Rejected, match="another chain"):
            await ledger.health()


async def test_mistaken_keys_are_configuration_errors_that_do_not_show_them(
    contracts: Contracts, tmp_path: Path
) -> None:
    settings = contracts.settings("keys")
    for text, mode, place in (
        (KEYS[1], 0o600, "not the key of one of the anchors"),
        (KEYS[0][:-1], 0o600, "32 bytes"),
        (KEYS[0], 0o644, "chmod 600"),
    ):
        file = tmp_path / "wrong.key"
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(ConfigError, match=place) as raised:
            async with opened(PLUGIN, "evm", tmp_path, settings | {"keys": [str(file)]}):
                pass
        assert text not in str(raised.value)


async def test_an_anchor_signs_by_hand_what_the_log_has_signed(
    server: Server, contracts: Contracts, tmp_path: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hawsepipe_ledger_evm", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True)

    made = await asyncio.to_thread(run, "key", str(tmp_path / "new.key"))
    public, address = (line.split()[-1] for line in made.stdout.splitlines())
    assert (tmp_path / "new.key").stat().st_mode & 0o077 == 0
    await rpc(server, "anvil_setBalance", address, hex(10**18))
    payer = str(contracts.directory / "anchor-0.key")
    arguments = ("--url", url(server), "--key", payer, "--anchor", PUBLIC[0], "--anchor", public, "--threshold", "2")
    printed = await asyncio.to_thread(run, "deploy", *arguments)
    settings = json.loads(printed.stdout) | {"confirmations": 1}
    (tmp_path / "anchor.json").write_text(json.dumps(settings | {"keys": ["new.key"]}))
    seed = Ed25519PrivateKey.from_private_bytes(sha256(f"key of {CHANNEL}".encode()).digest())
    raw = b"\x01" + seed.public_key().public_bytes_raw()
    key_id = sha256(CHANNEL.encode() + b"\n" + raw).hexdigest()[:8]
    vkey = f"{CHANNEL}+{key_id}+{base64.b64encode(raw).decode()}"
    sign = ("sign", "--config", str(tmp_path / "anchor.json"), "--channel", CHANNEL, "--vkey")
    assert (await asyncio.to_thread(run, *sign, vkey)).stdout == "nothing waits\n"
    async with opened(PLUGIN, "evm", tmp_path, settings | {"keys": [payer]}) as ledger:
        handle = await ledger.publish(checkpoint(3), None)
        other = vkey.replace(CHANNEL, "log.other.example")
        assert (await asyncio.to_thread(run, *sign, other)).returncode == 1
        assert await ledger.status(handle) is AnchorStatus.PENDING
        assert (await asyncio.to_thread(run, *sign, vkey)).stdout == "signed size 3: final\n"
        assert await ledger.status(handle) is AnchorStatus.FINAL


async def test_it_opens_while_the_node_is_away(contracts: Contracts, tmp_path: Path) -> None:
    settings = contracts.settings("away") | {"url": "http://127.0.0.1:1", "timeout_seconds": 2}
    async with opened(PLUGIN, "evm", tmp_path, settings) as ledger:
        with pytest.raises(LedgerUnavailable):
            await ledger.publish(checkpoint(3), None)


def test_what_it_imports_leaves_the_recursion_limit_alone() -> None:
    look = "print(sys.getrecursionlimit())"
    program = f"import sys; {look}; import hawsepipe_ledger_evm.plugin; {look}"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert len(set(told.stdout.split())) == 1


def test_the_contract_is_what_its_source_compiles_to() -> None:
    source = Path(hawsepipe_ledger_evm.__file__).with_name("checkpoints.vy")
    for part in ("bytecode", "abi"):
        command = [str(Path(sys.executable).with_name("vyper")), "-f", part, str(source)]
        made = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        assert (json.loads(made) if part == "abi" else made) == artifact()[part]
