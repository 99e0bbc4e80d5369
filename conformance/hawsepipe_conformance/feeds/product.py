"""The product under test, as seen from outside: its command line, its sockets, its HTTP interface."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from hawsepipe_conformance.feeds.cases import Unclear

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_LISTENS = re.compile(r"^feed (\S+)\s+\S+://(\S+):(\d+)$", re.MULTILINE)
_TOKEN_SECONDS = 200
_STILL = 0.5
"""Seconds without any movement after which nothing is on its way."""
_FLOW = (
    "hawsepipe_feed_messages_received_total",
    "hawsepipe_intake_applied_total",
    "hawsepipe_intake_dead_letters_total",
    "hawsepipe_feed_duplicates_total",
    "hawsepipe_feed_backlog",
    "hawsepipe_feed_held",
)
_LISTENING = ("mllp", "hl7v2-http", "fhir-http")
_TRANSLATORS = {"fhir-http": "fhir", "fhir-poll": "fhir", "mqtt": "devices", "dicom-changes": "dicom"}
"""Feed kinds and the kinds of their translators; all others have that of HL7 v2."""
_PLUGINS = {"mqtt": "iomt", "dicom-changes": "dicom"}
"""Plugins that are loaded only where a feed needs them."""
_SCOPES = "user/*.rs hawsepipe/operate"
_CONFIG = """
[service]
channel = "conformance.example/feeds"
{service}[api]
port = {port}
[consent]
default_policy = "https://profiles.ihe.net/ITI/PCF/Policy-basic-normal"
[plugins]
load = ["fhir", "hl7v2", "ledger-log"{plugins}]
[[translators]]
name = "hl7v2"
kind = "hl7v2"
[translators.settings]
timezone = "Europe/Berlin"
[[ledgers]]
name = "log"
kind = "log"
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One Prometheus sample."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Address:
    """A listening feed."""

    host: str
    port: int


class Product(ABC):
    """What both ways of reaching a service have in common: the HTTP interface at `origin`."""

    def __init__(self, origin: str, fhir: str) -> None:
        self.origin = origin
        self.fhir = fhir
        self._session: aiohttp.ClientSession | None = None

    @abstractmethod
    async def feed(self, name: str) -> Address:
        """Return where a feed listens."""

    @abstractmethod
    async def token(self) -> str:
        """Return an access token that may read everything and operate."""

    async def close(self) -> None:
        """Let go of the service."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def put(self, path: str, resource: Mapping[str, Any], token: str) -> None:
        """Update a resource from the version that it says it is. Raises Unclear for anything but 200."""
        version = resource.get("meta", {}).get("versionId", "1")
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/fhir+json",
            "If-Match": f'W/"{version}"',
        }
        async with self._client().put(self.origin + path, headers=headers, data=json.dumps(resource)) as response:
            if response.status != 200:
                raise Unclear(f"{path} answers {response.status}")

    async def allowed(self, path: str, token: str) -> int:
        """Return the status that a token gets at a path below the origin."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._client().get(self.origin + path, headers=headers) as response:
            return response.status

    async def content(self, url: str) -> bytes:
        """Return what is at a URL, in its own form. Raises Unclear for anything but 200."""
        headers = {"Authorization": f"Bearer {await self.token()}", "Accept": "*/*"}
        async with self._client().get(url, headers=headers) as response:
            if response.status != 200:
                raise Unclear(f"{url} answers {response.status}")
            return await response.read()

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> Any:
        """Return the JSON at a URL. Raises Unclear for anything but 200."""
        headers = {"Authorization": f"Bearer {await self.token()}"}
        async with self._client().get(url, params=params, headers=headers) as response:
            if response.status != 200:
                raise Unclear(f"{url} answers {response.status}")
            return json.loads(await response.read())

    async def status(self, path: str) -> int:
        """Return the status of a path below the origin."""
        async with self._client().get(self.origin + path) as response:
            return response.status

    async def post(
        self, path: str, body: bytes | None = None, *, token: str = "", media: str = "application/octet-stream"
    ) -> Any:
        """Return the JSON that a POST to a path below the origin gives. Raises Unclear for anything but 200 and 201."""
        headers = {"Authorization": f"Bearer {token or await self.token()}", "Content-Type": media}
        async with self._client().post(self.origin + path, headers=headers, data=body) as response:
            if response.status not in (200, 201):
                raise Unclear(f"{path} answers {response.status}")
            return json.loads(await response.read())

    async def samples(self) -> list[Sample]:
        """Return the metrics."""
        async with self._client().get(f"{self.origin}/metrics") as response:
            text = await response.text()
        found = [_SAMPLE.match(line) for line in text.splitlines() if not line.startswith("#")]
        return [Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])) for match in found if match]

    async def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over the samples that have these labels."""
        return sum(
            sample.value
            for sample in await self.samples()
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )

    async def dead_letters(self, feed: str) -> list[dict[str, Any]]:
        """Return the dead letters of a feed."""
        after, found = 0, []
        while page := await self.get(f"{self.origin}/ops/dead-letters", {"after": str(after)}):
            found += [entry for entry in page if entry["feed"] == feed]
            after = page[-1]["sequence"]
        return found

    async def search(self, type_: str, **params: str) -> list[dict[str, Any]]:
        """Return the resources that a search finds."""
        query = {name.replace("__", ":"): value for name, value in params.items()} | {"_count": "200"}
        bundle = await self.get(f"{self.fhir}/{type_}", query)
        return [entry["resource"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match"]

    async def read(self, reference: str) -> dict[str, Any]:
        """Return a resource or a version of one."""
        resource: dict[str, Any] = await self.get(f"{self.fhir}/{reference}")
        return resource

    async def settled(self, seconds: float = 20.0) -> None:
        """Return when everything that was accepted is applied or set aside. Raises Unclear when time is up."""
        end, last, since = monotonic() + seconds, None, monotonic()
        while True:
            samples = await self.samples()
            counts = {name: sum(sample.value for sample in samples if sample.name == name) for name in _FLOW}
            received, *settled, backlog, held = counts.values()
            backlog -= held  # those wait for somebody's decision
            if counts != last:
                last, since = counts, monotonic()
            # What the store refused settles nothing: then nothing moves any more.
            if not backlog and (received <= sum(settled) + held or monotonic() > since + _STILL):
                return
            if monotonic() > end:
                raise Unclear("what was accepted is not applied in time")
            await asyncio.sleep(0.02)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        return self._session


class Remote(Product):
    """A service that somebody else has started: one feed, a token that the caller gives."""

    def __init__(self, origin: str, address: Address, token: str) -> None:
        super().__init__(origin, f"{origin}/fhir")
        self._address = address
        self._given = token

    async def feed(self, name: str) -> Address:
        return self._address

    async def token(self) -> str:
        return self._given


@dataclass
class Plan:
    """A service to be started: settings of its feeds by name (`kind`, `translator` and `on_failure` beside them), of
    the service itself, and further TOML.
    """

    feeds: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    further: str = ""


class Local(Product):
    """A service that this runner starts, stops and kills, in a folder of its own."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        port = free_port()
        super().__init__(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/fhir")
        self.folder = folder
        self.config = folder / "hawsepipe.toml"
        self.process: asyncio.subprocess.Process | None = None
        self._log = folder / "service.log"
        self._mark = 0
        self._token, self._token_until = "", 0.0
        self._port = port
        self._text = ""
        self.plan(plan)
        self.entry: tuple[str, ...] = OURS

    def plan(self, plan: Plan) -> None:
        """Let the next start be of this plan."""
        kinds = {settings.get("kind") for settings in plan.feeds.values()}
        plugins = "".join(f', "{plugin}"' for kind, plugin in _PLUGINS.items() if kind in kinds)
        self._text = _CONFIG.format(port=self._port, service=_lines(plan.service), plugins=plugins)
        self._text += "".join(_feed(name, plan.feeds[name]) for name in plan.feeds) + plan.further
        if self.config.exists():
            self.config.write_text(self._text, encoding="utf-8")

    async def start(self) -> None:
        """Make the folder when there is none, start the service and wait until it is ready."""
        if not self.config.exists():
            await command("init", str(self.folder))
            self.config.write_text(self._text, encoding="utf-8")
        self._mark = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *self.entry, "serve", "-c", str(self.config), stderr=log
            )
        end = monotonic() + 60
        while True:
            if self.process.returncode is not None or monotonic() > end:
                raise Unclear(f"the service does not start: {self.log()[-300:]}")
            try:
                if await self.status("/health/ready") == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)

    async def feed(self, name: str) -> Address:
        found = _LISTENS.findall(self.log()[self._mark :])
        for feed, host, port in found:
            if feed == name:
                return Address(host, int(port))
        raise Unclear(f"the service has no feed {name}")

    def forget_token(self) -> None:
        """Ask for a new token the next time."""
        self._token_until = 0.0

    async def token_for(self, scopes: str = _SCOPES, role: str = "physician", purpose: str = "TREAT") -> str:
        """Return a token for somebody with a role and a purpose."""
        words = ("token", "-c", str(self.config), "--subject", "Practitioner/1", "--scope", scopes, "--role", role)
        return await command(*words, "--purpose", purpose, entry=self.entry)

    async def token(self) -> str:
        if monotonic() > self._token_until:
            self._token = await self.token_for()
            self._token_until = monotonic() + _TOKEN_SECONDS
        return self._token

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end and return the exit status."""
        assert self.process is not None
        process, self.process = self.process, None
        if process.returncode is None:
            os.kill(process.pid, number)
        async with asyncio.timeout(60):
            return await process.wait()

    async def crash(self) -> None:
        """Kill the service and start it again."""
        await self.end(signal.SIGKILL)
        await self.start()

    async def close(self) -> None:
        await super().close()
        if self.process is not None:
            await self.end(signal.SIGKILL)

    def log(self) -> str:
        """Return everything that the service has logged."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def memory(self) -> int:
        """Return the resident bytes of the process now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """Return the most resident bytes that the process ever had."""
        return self._status("VmHWM")

    def descriptors(self) -> int:
        """Return how many files the process has open."""
        assert self.process is not None
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def _status(self, name: str) -> int:
        assert self.process is not None
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(text.split(f"{name}:")[1].split()[0]) * 1024


OURS = ("-m", "hawsepipe")
"""What Python runs."""


async def command(*words: str, entry: tuple[str, ...] = OURS) -> str:
    """Run `hawsepipe` with these words and return what it prints. Raises Unclear when it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *entry, *words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await process.communicate()
    if process.returncode:
        raise Unclear(f"hawsepipe {words[0]} fails: {errors.decode(errors='replace').strip()[-300:]}")
    return out.decode().strip()


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _feed(name: str, settings: Mapping[str, Any]) -> str:
    """Return a feed as TOML; `kind` and `translator` (the settings of one of its own) are no settings of the feed."""
    kind = settings.get("kind", "mllp")
    own = {key: value for key, value in settings.items() if key not in ("kind", "translator", "on_failure")}
    if kind in _LISTENING:
        own = {"port": 0} | own
    translator, text = "hl7v2", ""
    if kind in _TRANSLATORS or "translator" in settings:
        translator = f"of-{name}"
        text = f'\n[[translators]]\nname = "{translator}"\nkind = "{_TRANSLATORS.get(kind, "hl7v2")}"\n'
        text += "[translators.settings]\n" + _lines(settings.get("translator", {}))
    text += f'\n[[feeds]]\nname = "{name}"\nkind = "{kind}"\ntranslator = "{translator}"\n'
    text += f'on_failure = "{settings.get("on_failure", "hold")}"\n[feeds.settings]\n'
    return text + _lines(own)


def _lines(settings: Mapping[str, Any]) -> str:
    return "".join(f"{key} = {toml(value)}\n" for key, value in settings.items())


def toml(value: object) -> str:
    """Return a value as TOML (objects inline)."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(part)}" for key, part in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    return json.dumps(value)
