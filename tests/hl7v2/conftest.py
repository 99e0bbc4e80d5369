"""Messages written by hand for these tests, and a translator to run them through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hawsepipe import Acceptance, Change, Meters, Opening, RawMessage, Refusal, Reuse, Translation
from hawsepipe_hl7v2.mllp import KIND
from hawsepipe_hl7v2.translator import Hl7v2Translator

RECEIVED = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)


def segment(name: str, **values: str) -> str:
    """Write a segment by field numbers (`f3="x"`), so that nobody has to count delimiters."""
    fields = {int(key[1:]): value for key, value in values.items()}
    return "|".join([name, *(fields.get(number, "") for number in range(1, max(fields) + 1))])


ADMISSION = (
    "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01^ADT_A01|M0001|P|2.5.1||||||UNICODE UTF-8",
    "EVN|A01|20260301083000+0000||||20260301082500+0000",
    segment(
        "PID",
        f1="1",
        f2="OLD7^^^GOOD^PI",
        f3="MRN1^^^GOOD^MR~4711^^^&2.16.840.1.113883.3.77&ISO^PT",
        f5="DOE^JANE^Q^^MRS^^L~ROE^JANE^^^^^M",
        f7="19800101",
        f8="F",
        f11="1 MAIN ST&MAIN ST&1^APT 2^TOWN^ST^12345^USA^H",
        f13="^PRN^PH^^1^555^5551212",
        f14="^WPN^PH^^^555^5550000",
        f16="M",
        f17="CAT",
        f18="ACC9^^^GOOD^AN",
        f30="N",
    ),
    "PD1||||D77^WELBY^MARCUS^^^DR^^^GOOD",
    "NK1|1|DOE^JOHN|SPO|1 MAIN ST^^TOWN^ST^12345|^PRN^PH^^^555^5551213",
    segment(
        "PV1",
        f1="1",
        f2="I",
        f3="W1^101^A^HOSP",
        f7="D77^WELBY^MARCUS^^^DR^^^GOOD",
        f8="D78^HOUSE^GREG",
        f10="MED",
        f19="V1^^^GOOD^VN",
        f44="20260301082500+0000",
    ),
    "PV2|||CHF^Heart failure^L",
    "AL1|1|DA|PEN^Penicillin^L|SV|HIVES~RASH",
    segment("DG1", f1="1", f3="I50.9^Heart failure, unspecified^I10C", f6="A", f15="1"),
    segment(
        "IN1",
        f1="1",
        f2="PPO^Preferred^L",
        f3="INS1^^^PAYERS",
        f4="ACME HEALTH",
        f5="1 PAYER WAY^^TOWN^ST^12345",
        f8="GRP1",
        f12="20260101",
        f13="20261231",
        f17="SEL",
        f36="POL123",
    ),
)
RESULT = (
    "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M0002|P|2.5.1",
    "PID|1||MRN1^^^GOOD^MR||DOE^JANE||19800101|F",
    segment("PV1", f1="1", f2="I", f19="V1^^^GOOD^VN"),
    "ORC|RE|P1^OE|F1^LAB||CM",
    segment(
        "OBR",
        f1="1",
        f2="P1^OE",
        f3="F1^LAB",
        f4="24323-8^Comprehensive metabolic panel^LN",
        f7="20260301100000+0000",
        f16="D77^WELBY^MARCUS",
        f22="20260301101400+0000",
        f24="CH",
        f25="F",
    ),
    "NTE|1||Fasting specimen",
    "OBX|1|NM|2345-7^Glucose^LN||5.40|mmol/L^^UCUM|3.9-5.6|N|||F|||20260301100000+0000",
    "NTE|1|L|Checked twice~by two people",
    "OBX|2|SN|2160-0^Creatinine^LN||<^0.10|mg/dL^^UCUM||L|||F",
    "OBX|3|CWE|883-9^ABO group^LN||A^Group A^L||||||F",
    segment(
        "OBR",
        f1="2",
        f2="P1^OE",
        f3="F2^LAB",
        f4="57021-8^CBC W Auto Differential panel^LN",
        f7="20260301100000+0000",
        f24="CH",
        f25="P",
    ),
    "OBX|1|NM|6690-2^Leukocytes^LN||7|10*3/uL^^UCUM|4-10|N|||P",
    "OBX|2|TX|18311-1^Comment^LN||First line~Second line||||||P",
)
VACCINATION = (
    "MSH|^~\\&|EHR|CLINIC|IIS|STATE|20260302090000-0500||VXU^V04^VXU_V04|M0003|P|2.5.1||||AL",
    segment("PID", f1="1", f3="MRN1^^^GOOD^MR", f5="DOE^JANE", f7="19800101", f8="F", f24="N"),
    segment("ORC", f1="RE", f3="I55^CLINIC", f12="D77^WELBY^MARCUS"),
    segment(
        "RXA",
        f1="0",
        f2="1",
        f3="20260302085500-0500",
        f5="140^Influenza, seasonal, injectable^CVX",
        f6="0.5",
        f7="mL^^UCUM",
        f9="00^New record^NIP001",
        f10="D79^NURSE^ANN",
        f15="LOT42",
        f16="20270101",
        f17="SKB^GlaxoSmithKline^MVX",
        f20="CP",
        f21="A",
    ),
    "RXR|IM^Intramuscular^HL70162|LD^Left deltoid^HL70163",
    "OBX|1|CE|64994-7^Eligibility^LN|1|V02^Medicaid^HL70064||||||F",
    "OBX|2|CE|30963-3^Funding source^LN|1|VXC50^Public^CDCPHINVS||||||F",
    "OBX|3|CE|69764-9^Document type^LN|2|253088698300012711120420^Influenza VIS^cdcgs1vis||||||F",
    "OBX|4|DT|29768-9^VIS published^LN|2|20250801||||||F",
    "OBX|5|DT|29769-7^VIS presented^LN|2|20260302||||||F",
    "OBX|6|CE|31044-1^Reaction^LN|3|39579001^Anaphylaxis^SCT||||||F|||20260302091000-0500",
)
MERGE = (
    "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260303083000+0000||ADT^A40^ADT_A39|M0004|P|2.5.1",
    "EVN|A40|20260303083000+0000",
    "PID|1||MRN1^^^GOOD^MR||DOE^JANE^Q",
    "MRG|MRN2^^^GOOD^MR||||||DOE^JAYNE",
)


@dataclass(frozen=True)
class Made:
    """A translation with its resources at hand."""

    translation: Translation

    def all(self, type_: str) -> list[dict[str, Any]]:
        """The resources of a type; not who sent and received the message, nor the message itself."""
        return [change.resource or {} for change in self._changes(type_)]

    def envelope(self, type_: str) -> list[dict[str, Any]]:
        """The resources of a type that only MSH, SFT and the message itself tell of."""
        told = [id(change) for change in self._changes(type_)]
        changes = [change for change in self.translation.changes if change.type == type_ and id(change) not in told]
        return [change.resource or {} for change in changes]

    def _changes(self, type_: str) -> list[Change]:
        sources: dict[str, set[str]] = {}
        for trail in self.translation.trail:
            sources.setdefault(trail.resource, set()).add(trail.source[:3])
        return [
            change
            for change in self.translation.changes
            if change.type == type_ and sources.get(f"{type_}/{change.id}", {"-"}) - {"MSH", "SFT"}
        ]

    def one(self, type_: str) -> dict[str, Any]:
        (resource,) = self.all(type_)
        return resource

    def change(self, type_: str, index: int = 0) -> Change:
        return self._changes(type_)[index]

    def source(self, type_: str, path: str) -> set[str]:
        """Where the value at a path of any resource of the type came from."""
        return {
            trail.source
            for trail in self.translation.trail
            if trail.path == path and trail.resource.startswith(f"{type_}/")
        }

    def texts(self, location: str) -> list[str]:
        return [issue.text for issue in self.translation.issues if issue.location == location]


Translate = Callable[..., Made]
Write = Callable[..., str]


@pytest.fixture(scope="session")
def samples() -> dict[str, tuple[str, ...]]:
    return {"admission": ADMISSION, "result": RESULT, "vaccination": VACCINATION, "merge": MERGE}


@pytest.fixture(scope="session")
def translate() -> Translate:
    """Translate segments (or a whole message as bytes) with the given settings."""
    known: dict[str, Hl7v2Translator] = {}

    def run(message: tuple[str, ...] | bytes, **settings: Any) -> Made:
        translator = known.setdefault(repr(sorted(settings.items())), Hl7v2Translator(settings))
        body = message if isinstance(message, bytes) else ("\r".join(message) + "\r").encode()
        return Made(translator.translate(RawMessage("adt", RECEIVED, "application/hl7-v2", body)))

    return run


@pytest.fixture(scope="session")
def write() -> Write:
    """Write a segment by field numbers."""
    return segment


NOW = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)


@dataclass
class Journal:
    """An intake in memory with the contract's rules for duplicates; it can be held up, be full, or fail."""

    messages: list[tuple[RawMessage, str, Refusal | None]] = field(default_factory=list)
    replies: dict[tuple[str, bytes], bytes] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    fault: Exception | None = None
    waiting: int = 0
    effect: asyncio.Event = field(default_factory=asyncio.Event)
    failure: Refusal | None = None
    repair: asyncio.Event = field(default_factory=asyncio.Event)
    gone: set[int] = field(default_factory=set)

    async def accept(
        self, message: RawMessage, *, key: str, reply: bytes, refusal: Refusal | None = None, reuse: Reuse | None = None
    ) -> Acceptance:
        if self.gate is not None:
            self.waiting += 1
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        known = (key, message.digest)
        if known in self.replies:
            number = [(key, message.digest) for message, key, _ in self.messages].index(known) + 1
            return Acceptance(number, True, self.replies[known])
        reused = refusal is None and any(key == other for other, _ in self.replies)
        if reused and reuse is not None:
            refusal, reply = reuse.refusal, reuse.reply
        self.messages.append((message, key, refusal))
        if refusal is None:
            self.replies[known] = reply
        return Acceptance(len(self.messages), False, reply, reused)

    async def outcome(self, sequence: int) -> Refusal | None:
        await self.effect.wait()
        return self.messages[sequence - 1][2] or self.failure

    async def mended(self, sequence: int) -> None:
        await self.repair.wait()

    async def set_aside(self, feed: str, location: str) -> list[tuple[int, RawMessage]]:
        return [
            (number, message)
            for number, (message, _, refusal) in enumerate(self.messages, 1)
            if refusal is not None and refusal.location == location and number not in self.gone
        ]

    async def taken_up(self, sequences: Sequence[int], instant: datetime) -> None:
        self.gone.update(sequences)


@dataclass
class Line:
    """A sender's connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> str:
        frame = await asyncio.wait_for(self.reader.readuntil(b"\x1c\r"), 5)
        return frame[1:-2].decode("latin-1")

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)


@dataclass
class Bed:
    journal: Journal
    meters: Meters
    host: str
    port: int
    secure: bool = False

    async def line(self) -> Line:
        return Line(*await asyncio.open_connection(self.host, self.port))

    def count(self, name: str, **labels: str) -> float:
        return self.meters.registry.get_sample_value(name, {"feed": "adt"} | labels) or 0.0


Listen = Callable[..., AbstractAsyncContextManager[Bed]]


@pytest.fixture
def listen(tmp_path: Path) -> Listen:
    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Bed]:
        meters, journal = Meters(), Journal()
        opening = Opening("adt", {"port": 0} | settings, tmp_path, lambda: NOW, meters)
        async with KIND.open(opening) as feed:
            await feed.start(journal)
            scheme, _, place = feed.address.partition("://")
            host, port = place.rsplit(":", 1)
            yield Bed(journal, meters, host, int(port), scheme == "mllps")

    return run


def written(control: str = "M1", **changes: str) -> bytes:
    parts = {
        "type": "ADT^A01^ADT_A01",
        "id": "P",
        "version": "2.5.1",
        "tail": "",
        "pid": "PID|1||MRN1^^^GOOD^MR",
    } | changes
    head = f"MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||{parts['type']}|{control}|{parts['id']}|{parts['version']}"
    return f"{head}{parts['tail']}\rEVN|A01\r{parts['pid']}\r".encode()


@pytest.fixture(scope="session")
def message() -> Callable[..., bytes]:
    """Write an admission by what is special about it."""
    return written
