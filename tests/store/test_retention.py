"""The journal gives up what is due and nothing else, and its room; what is kept is sealed under keys that change."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from base64 import b64encode
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from hawsepipe.errors import ConfigError, StoreError
from hawsepipe.hooks import Refusal
from hawsepipe.intake.retention import Retention, Terms
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, RawMessage, Transaction
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import Application, JournalEntry, JournalState, Store
from hawsepipe.store.vault import Vault, read_keys
from hawsepipe.visibility import SEALED

from .conftest import START, Opener

DAY = timedelta(days=1)
LATER = START + 10 * DAY
BODY = b"MSH|^~\\&|SECRETIVE PATIENT|" + b"x" * 3000


async def journalled(store: Store, name: str, refusal: Refusal | None = None) -> int:
    message = RawMessage("adt", START, "application/hl7-v2", BODY + name.encode())
    return (await store.append(JournalEntry(message, name, b"AA", refusal))).sequence


async def applied(store: Store, name: str) -> int:
    sequence = await journalled(store, name)
    change = Change(Method.PUT, "Patient", name, {"resourceType": "Patient", "id": name})
    transaction = Transaction((change,), None, "feed:adt", START)
    (outcome,) = await store.apply([Application(sequence, "label", transaction)])
    assert not isinstance(outcome, Exception)
    return sequence


DUE = {JournalState.APPLIED: LATER, JournalState.DISCARDED: LATER}


async def test_only_what_is_applied_and_anchored_or_discarded_is_taken_out(store: Store) -> None:
    one, two = await applied(store, "one"), await applied(store, "two")
    dead = await journalled(store, "dead", Refusal("parse", "", "no"))
    gone = await journalled(store, "gone", Refusal("parse", "", "no"))
    waiting = await journalled(store, "waiting")
    assert await store.discard(gone, START)
    early = {JournalState.APPLIED: START, JournalState.DISCARDED: START}
    assert (await store.prune(early, 1000, 0, 100)).counts == {}
    assert (await store.prune(DUE, 1, 0, 100)).counts == {"applied": 1, "discarded": 1}
    assert await store.journal(one) is None
    assert await store.journal(gone) is None
    assert (await store.prune(DUE, 2, 0, 100)).counts == {"applied": 1}
    assert await store.journal(two) is None
    assert (await store.prune(DUE, 1000, 0, 100)).counts == {}
    states = [record.state for number in (dead, waiting) if (record := await store.journal(number)) is not None]
    assert states == [JournalState.DEAD, JournalState.RECEIVED]
    assert await store.read("Patient", "one") is not None, "what it did stays"


async def test_what_is_still_to_be_delivered_stays(store: Store) -> None:
    await store.route({"lab": ["adt"]})
    sequence = await applied(store, "one")
    assert (await store.prune(DUE, 1000, 0, 100)).counts == {}
    delivery = await store.next_delivery("lab")
    assert delivery is not None
    await store.set_aside(delivery.number, Refusal("delivery", "", "no"), START)
    assert (await store.prune(DUE, 1000, 0, 100)).counts == {}
    await store.delivered(delivery.number)
    assert (await store.prune(DUE, 1000, 0, 100)).counts == {"applied": 1}
    assert await store.journal(sequence) is None


def contents_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def test_the_room_is_given_back_slice_by_slice(open_at: Opener, tmp_path: Path) -> None:
    file = tmp_path / "store.db"

    def pages() -> int:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return int(database.execute("PRAGMA page_count").fetchone()[0])

    async with open_at(tmp_path) as store:
        for number in range(1200):
            await journalled(store, f"n{number}")
            if number % 100 == 99:
                waiting = await store.received(0, 1000)
                await store.apply([Application(record.sequence, "", None) for record in waiting])
        full = pages()

        def now() -> datetime:
            return LATER

        terms = Terms({JournalState.APPLIED: DAY})
        retention = Retention(store, terms, "c", (), now, Meters())
        assert await retention.prune() == {"applied": 1200}
        assert pages() < full / 5
        assert await retention.prune() == {"applied": 0}
        lagging = Retention(store, terms, "c", ("ledger",), now, Meters())
        await applied(store, "late")
        assert await lagging.prune() == {"applied": 0}, "the ledger holds nothing yet"


async def test_what_was_taken_out_is_in_no_file_any_more_while_the_store_goes_on(
    open_at: Opener, tmp_path: Path
) -> None:
    def now() -> datetime:
        return LATER

    def found() -> list[str]:
        return [file.name for file in tmp_path.rglob("*") if file.is_file() and BODY[:26] in file.read_bytes()]

    async with open_at(tmp_path) as store:
        for number in range(300):
            await journalled(store, f"n{number}")
            if number % 100 == 99:
                waiting = await store.received(0, 1000)
                await store.apply([Application(record.sequence, "", None) for record in waiting])
        assert found()
        terms = Terms({JournalState.APPLIED: DAY})
        assert await Retention(store, terms, "c", (), now, Meters()).prune() == {"applied": 300}
        # The files are written anew once the answer is given.
        async with asyncio.timeout(10):
            while found():
                await asyncio.sleep(0.01)
        await journalled(store, "later")
        assert found(), "what is not due is there"


KEYS = {"old": b"1" * 32, "new": b"2" * 32}
ORIGINAL = {
    "resourceType": "DocumentReference",
    "id": "original",
    "meta": {"security": [{"system": SEALED[0], "code": SEALED[1]}]},
    "status": "current",
    "content": [{"attachment": {"data": b64encode(BODY).decode()}}],
}


async def keep(store: Store, id_: str) -> None:
    change = Change(Method.PUT, "DocumentReference", id_, ORIGINAL | {"id": id_})
    await store.commit(Transaction((change,), None, "feed:adt", START))


def whole(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_raw_content_is_sealed_and_keys_change(open_at: Opener, tmp_path: Path) -> None:
    async with open_at(tmp_path) as store:
        await journalled(store, "plain")
    async with open_at(tmp_path, vault=Vault(KEYS, "old")) as store:
        await journalled(store, "old")
        await keep(store, "first")
    async with open_at(tmp_path, vault=Vault(KEYS, "new")) as store:
        await journalled(store, "new")
        await keep(store, "second")
        records = await store.received(0, 10)
        assert [record.message.body for record in records] == [BODY + it for it in (b"plain", b"old", b"new")]
        twin = RawMessage("adt", START, "application/hl7-v2", BODY + b"old")
        assert (await store.append(JournalEntry(twin, "old", b""))).duplicate, "it is known again under any key"
        for name in ("first", "second"):
            version = await store.read("DocumentReference", name)
            assert version is not None
            assert version.content is not None
            assert b64encode(BODY) in version.content
            assert [it.content for it in await store.history("DocumentReference", name, None, 9)] == [version.content]
    database = sqlite3.connect(tmp_path / "store.db")
    assert database.execute("SELECT sealed FROM journal ORDER BY 1").fetchall() == [(None,), ("new",), ("old",)]
    database.execute("DELETE FROM journal WHERE sealed IS NULL")
    database.commit()
    database.execute("VACUUM")
    database.close()
    raw = whole(tmp_path)
    assert b"SECRETIVE" not in raw
    assert b64encode(BODY)[:24] not in raw


@pytest.mark.parametrize(
    ("vault", "text"),
    [
        (None, "the key old, under which content is, is not configured"),
        (Vault({"new": KEYS["new"]}, "new"), "the key old"),
        (Vault({"old": KEYS["new"]}, "old"), "cannot be opened"),
    ],
)
async def test_a_missing_or_wrong_key_stops_the_start(
    opener: Opener, tmp_path: Path, vault: Vault | None, text: str
) -> None:
    async with opener(tmp_path, vault=Vault(KEYS, "old")) as store:
        await journalled(store, "one")
    with pytest.raises(StoreError, match=text):
        async with opener(tmp_path, vault=vault):
            pass


def test_no_statement_reads_content_without_opening_it() -> None:
    folders = [Path(str(files(f"hawsepipe.store.{name}"))) for name in ("sql", "sqlite", "postgres")]
    text = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    assert re.findall(r"(?<!opened\()v\.content", text) == []
    text = text.replace("unsealed(sealed, body, digest)", "")
    assert re.findall(r"SELECT[^;\"]*(?<!FROM)[ ,](?:content|body)\b", text) == []


def test_a_box_opens_in_its_own_place_alone() -> None:
    vault = Vault(KEYS, "new")
    box = vault.boxed(b"content", b"here")
    assert vault.plain(box, b"here") == b"content"
    assert vault.plain(b"{}", b"here") == b"{}"
    assert vault.boxed(b"content", b"here") != box
    with pytest.raises(StoreError):
        vault.plain(box, b"there")
    with pytest.raises(StoreError):
        vault.plain(box[:-1] + bytes([box[-1] ^ 1]), b"here")


def test_key_files_are_bytes_or_hex_of_their_owner_alone(tmp_path: Path) -> None:
    for name, content in (("raw", b"k" * 32), ("hex", b"6b" * 32 + b"\n"), ("short", b"k" * 31), ("open", b"k" * 32)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o644 if name == "open" else 0o600)
    assert read_keys({"a": tmp_path / "raw", "b": tmp_path / "hex"}) == {"a": b"k" * 32, "b": b"k" * 32}
    for name, text in (("short", "neither 32 bytes"), ("open", "by others"), ("none", "cannot be read")):
        with pytest.raises(ConfigError, match=rf"journal.keys.a: .*{text}"):
            read_keys({"a": tmp_path / name})


async def test_messages_are_found_by_control_id_reason_state_and_time(store: Store) -> None:
    for number in range(4):
        raw = RawMessage("adt", START + number * DAY, "application/hl7-v2", BODY + b"%d" % number)
        refusal = Refusal("code", "PID-8", f"a value of table {number}") if number % 2 else None
        await store.append(JournalEntry(raw, f"ADT|GOOD|C{number}", b"", refusal))

    async def found(**asked: object) -> list[int]:
        return [it.sequence for it in await store.messages(Messages(limit=10, **asked))]  # type: ignore[arg-type]  # as named

    assert await found() == [4, 3, 2, 1]
    assert await found(control="C2") == [3]
    assert await found(control="GOOD") == []
    assert await found(text="table 3") == [4]
    assert await found(text="table", state="received") == []
    assert await found(state="received", before=3) == [1]
    assert await found(since=START + DAY, until=START + 3 * DAY) == [3, 2]
    assert await found(feed="lab") == []


@pytest.mark.parametrize("key", [None, "old"])
async def test_a_large_message_is_kept_whole_in_parts_and_goes_with_them(
    opener: Opener, tmp_path: Path, key: str | None
) -> None:
    whole = BODY * 300 + bytes(range(256))
    async with opener(tmp_path, vault=Vault(KEYS, key) if key else None) as store:
        message = RawMessage("adt", START, "application/hl7-v2", whole)
        sequence = (await store.append(JournalEntry(message, "large", b"AA"))).sequence
        (record,) = await store.received(0, 10)
        assert (record.message.body, record.message.digest) == (whole, message.digest)
        assert (await store.append(JournalEntry(message, "large", b"AA"))).duplicate
    async with opener(tmp_path, vault=Vault(KEYS, key) if key else None) as store:
        again = await store.journal(sequence)
        assert again is not None
        assert again.message.body == whole
        change = Change(Method.PUT, "Patient", "p", {"resourceType": "Patient", "id": "p"})
        await store.apply([Application(sequence, "label", Transaction((change,), None, "feed:adt", START))])
        (delivered,) = await store.messages(Messages(10))
        assert delivered.message.body == whole
        assert (await store.prune(DUE, 1000, 0, 100)).counts == {"applied": 1}
        assert await store.journal(sequence) is None
        other = RawMessage("adt", START, "application/hl7-v2", b"")
        await store.append(JournalEntry(other, "empty", b"AA"))
        (empty,) = await store.received(0, 10)
        assert empty.message.body == b""
    assert key is None or not any(b"SECRETIVE" in held for held in contents_of(tmp_path))
