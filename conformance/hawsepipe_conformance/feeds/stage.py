"""What a check works with: its case, a feed of its own, and the facts that it measures."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hawsepipe_conformance.feeds.cases import Case, Unclear
from hawsepipe_conformance.feeds.drafts import Draft
from hawsepipe_conformance.feeds.line import Line, bodies, connect
from hawsepipe_conformance.feeds.product import Local, Plan, Product

MESSAGE = "urn:hawsepipe:message"
SOAK = 60.0
"""Seconds of a bounded replica."""
_NO_SETTINGS: Mapping[str, Any] = {}
UNCHANGED = "urn:hawsepipe:extension:unchanged"
"""Marks the Provenance of a message that has changed nothing."""


class Stage:
    """One case on one feed. `measured` are the facts by the names of the expectations, `failures` the broken claims."""

    def __init__(
        self, case: Case, messages: Mapping[str, str], product: Product, feed: str, soak: float = SOAK
    ) -> None:
        """`soak` is how long, in seconds, a check that is about time may take."""
        self.soak = soak
        self.case = case
        self.product = product
        self.feed = feed
        self.messages = messages
        self.person = f"P-{case.id}"
        self.measured: dict[str, Any] = {}
        self.failures: list[str] = []
        self.claims = 0
        self._before: dict[str, float] = {}
        self._letters = 0

    async def begin(self) -> None:
        """Note how things stand before the case."""
        self._before = await self._counts()
        self._letters = max((letter["sequence"] for letter in await self.product.dead_letters(self.feed)), default=0)

    # messages

    def draft(self, base: str, control: str, person: str = "") -> Draft:
        """Return a base message for a person of this case's own."""
        if base not in self.messages:
            raise Unclear(f"the case file has no base message {base}")
        return Draft(self.messages[base], control).set("PID-3", f"{person or self.person}^^^GOOD^MR")

    def admission(self, control: str, person: str = "") -> Draft:
        """Return an A01 with the visit number in PV1-19 and the admission in PV1-44, where the standard has them."""
        draft = self.draft("A01", control, person).set("PV1-18", "").set("PV1-43", "")
        return draft.set("PV1-19", f"V-{person or self.person}^^^GOOD^VN").set("PV1-44", "20260301083000+0000")

    def result(self, control: str, person: str = "") -> Draft:
        """Return an ORU."""
        return self.draft("ORU", control, person).set("OBR-3", f"F-{control}")

    # the wire

    async def connect(self, tls: ssl.SSLContext | None = None) -> Line:
        """Open a connection to the feed."""
        address = await self.product.feed(self.feed)
        return await connect(address.host, address.port, tls)

    @asynccontextmanager
    async def line(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Line]:
        """A connection to the feed, closed on leaving."""
        line = await self.connect(tls)
        try:
            yield line
        finally:
            await line.close()

    async def send(self, *messages: bytes) -> list[str]:
        """Send messages one after the other over one connection; return each one's MSA-1 (empty for no answer)."""
        codes = []
        async with self.line() as line:
            for number, body in enumerate(messages, 1):
                await line.send(b"\x0b" + body + b"\x1c\r")
                acks = await line.until(number, 10)
                codes.append(acks[number - 1].code if len(acks) >= number else "")
        await self.product.settled()
        return codes

    # what is told

    def claim(self, sentence: str, holds: object) -> None:
        """Note whether a sentence of the expectation holds."""
        self.claims += 1
        if not holds:
            self.failures.append(sentence)

    def measure(self, **facts: Any) -> None:
        """Note facts by the names of expectations."""
        self.measured |= facts

    # the product

    async def settled(self) -> None:
        """Wait until everything that was accepted is applied or set aside."""
        await self.product.settled()

    async def grown(self, name: str, **labels: str) -> float:
        """Return by how much a metric of this feed has grown since the case began."""
        key = _key(name, {"feed": self.feed} | labels)
        now = await self._counts()
        return sum(
            value - self._before.get(label, 0.0) for label, value in now.items() if key <= set(label.split("\n"))
        )

    async def letters(self) -> list[dict[str, Any]]:
        """Return the dead letters since the case began, oldest first."""
        return [entry for entry in await self.product.dead_letters(self.feed) if entry["sequence"] > self._letters]

    async def provenances(self, body: bytes) -> list[dict[str, Any]]:
        """Return the Provenances of what a message has done."""
        digest = hashlib.sha256(body).hexdigest()
        return await self.product.search("Provenance", entity__identifier=f"{MESSAGE}|{digest}")

    async def versions(self, body: bytes) -> list[str]:
        """Return the versions that a message has made, as `Patient/1/_history/2`."""
        found = [it for it in await self.provenances(body) if not _unchanged(it)]
        return [target["reference"] for provenance in found for target in provenance["target"]]

    async def made(self, body: bytes, type_: str) -> list[dict[str, Any]]:
        """Return the resources of a type that a message has made, as they are now."""
        places = [place.split("/_history")[0] for place in await self.versions(body) if place.startswith(f"{type_}/")]
        return [await self.product.read(place) for place in dict.fromkeys(places)]

    async def patient(self, person: str = "") -> dict[str, Any]:
        """Return the patient of this case. Raises Unclear unless there is exactly one."""
        found = await self.product.search("Patient", identifier=f"|{person or self.person}")
        found = found or await self.product.search("Patient", identifier=person or self.person)
        if len(found) != 1:
            raise Unclear(f"{len(found)} patients have the identifier of this case")
        return found[0]

    async def account(self, sent: bytes) -> None:
        """Measure what every feed can be asked for: what was stored, set aside, and has an effect."""
        await self.settled()
        self.measure(stored=int(await self.grown("hawsepipe_intake_applied_total")), dlq=len(await self.letters()))
        whole = set(bodies(sent))
        if "effects" in self.case.expected or "new_versions" in self.case.expected:
            made = {body: await self.provenances(body) for body in whole}
            self.measure(effects=sum(len(found) for found in made.values()))

    def local(self) -> Local:
        """Return the service as one that may be killed and measured. Raises Unclear for a stranger's."""
        if not isinstance(self.product, Local):
            raise Unclear("this case needs a service that the runner may start itself")
        return self.product

    @asynccontextmanager
    async def alone(
        self,
        others: Mapping[str, Mapping[str, Any]] | None = None,
        /,
        *,
        service: Mapping[str, Any] = _NO_SETTINGS,
        further: str = "",
        entry: tuple[str, ...] = (),
        **settings: Any,
    ) -> AsyncIterator[Stage]:
        """The same case on a service of its own, which it may stop, kill and start again; the facts go to this one.

        `others` are further feeds by name, `service` settings of the service, `further` is more TOML, `entry` what
        Python runs instead of ours.
        """
        self.local()
        with tempfile.TemporaryDirectory(prefix="hawsepipe-feeds-", ignore_cleanup_errors=True) as folder:
            product = Local(Path(folder) / "service", Plan({self.feed: settings, **(others or {})}, service, further))
            product.entry = entry or product.entry
            try:
                await product.start()
                other = Stage(self.case, self.messages, product, self.feed, self.soak)
                await other.begin()
                yield other
                self.measured |= other.measured
                self.failures += other.failures
                self.claims += other.claims
            finally:
                await product.close()

    async def _counts(self) -> dict[str, float]:
        samples = await self.product.samples()
        counts: dict[str, float] = {}
        for sample in samples:
            if sample.labels.get("feed", self.feed) == self.feed:
                counts["\n".join(sorted(_key(sample.name, sample.labels)))] = sample.value
        return counts


def _unchanged(provenance: Mapping[str, Any]) -> bool:
    return any(extension.get("url") == UNCHANGED for extension in provenance.get("extension", []))


def _key(name: str, labels: Mapping[str, str]) -> set[str]:
    return {name} | {f"{label}={value}" for label, value in labels.items()}
