"""Each way of tampering: what somebody does, who finds it, and with which code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from hawsepipe.errors import Tampered
from hawsepipe.fhir.canonical import digests
from hawsepipe.ledger import merkle, statemap
from hawsepipe.ledger.commitment import commitment
from hawsepipe.ledger.evidence import LogKey
from hawsepipe.ledger.note import Signer
from hawsepipe_conformance.tamper.ground import CHANNEL, Ground, key, made, patient, put

Work = Callable[[Ground], Awaitable[list[tuple[str, set[str]]]]]
"""Tampers with a copy and returns who found what: (finder, codes)."""


@dataclass(frozen=True)
class Row:
    """One row of the table: the code that must be found, and which others may be beside it. `silent` is the code where
    the ledger gives no receipts that count; None: there is nothing to tamper with then.
    """

    title: str
    code: str
    work: Work
    beside: frozenset[str] = frozenset()
    silent: str | None = ""

    def code_at(self, *, cosigns: bool) -> str | None:
        """Return the code that must be found at a ledger that cosigns or does not."""
        return self.code if cosigns or self.silent == "" else self.silent


ROWS: list[Row] = []
VERSION = (
    "(SELECT v.key FROM version v JOIN resource r ON r.key = v.key >> 24 JOIN symbol s ON s.key = r.type"
    " WHERE s.text = :type AND r.id = :id AND v.key & 16777215 = :version)"
)
O1 = {"type": "Observation", "id": "o1", "version": 2}
"""The newest version of a result, which nothing rests on."""


def row(title: str, code: str, *beside: str, silent: str | None = "") -> Callable[[Work], Work]:
    """Enter a row into the table; `beside` are further codes that it brings with it."""

    def entered(work: Work) -> Work:
        ROWS.append(Row(title, code, work, frozenset(beside), silent))
        return work

    return entered


async def audited(ground: Ground, **options: Any) -> tuple[str, set[str]]:
    """Return what an audit finds."""
    return "audit", set((await ground.audit(**options)).counts)


async def proven(ground: Ground, reference: str, trust: Any = None, *, state: bool = False, **asked: Any) -> set[str]:
    """Return what comes of asking for evidence and verifying it."""
    try:
        options = {"state": True} if state else {}
        document = await ground.evidence(reference, **options)
    except Tampered as error:
        return {error.finding}
    found = await ground.verified(document, trust, **asked)
    return {found.code} if not found.ok else set()


async def both(ground: Ground, reference: str = "Observation/o1/2") -> list[tuple[str, set[str]]]:
    """Return what an audit, and evidence of one version, find."""
    return [await audited(ground), ("evidence", await proven(ground, reference))]


@row("a row is modified", "CONTENT_MISMATCH")
async def _modified(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(
        f"UPDATE version SET content = CAST(replace(content, 'amended', 'unknown') AS BLOB) WHERE key = {VERSION}", **O1
    )
    return await both(ground)


@row("6.30 becomes 6.3", "CONTENT_MISMATCH")
async def _respelt(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(
        f"UPDATE version SET content = CAST(replace(content, '6.30', '6.3') AS BLOB) WHERE key = {VERSION}", **O1
    )
    return await both(ground)


@row("an object has a key twice", "DUPLICATE_KEY")
async def _doubled(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(
        "UPDATE version SET content ="
        f""" CAST(replace(content, '"status"', '"status":"final","status"') AS BLOB) WHERE key = {VERSION}""",
        **O1,
    )
    return await both(ground)


def _forged(ground: Ground, where: dict[str, Any] = O1) -> tuple[bytes, bytes, bytes, bytes]:
    """Return other content of a version with an opening and a commitment that fit it."""
    content, opening, salt = ground.rows(
        f"SELECT content, opening, salt FROM version WHERE key = {VERSION}",
        **where,
    )[0]
    other = bytes(content).replace(b"amended", b"unknown")
    whole, still = digests(other)
    told = json.loads(opening) | {"versionHash": whole.hex(), "staticHash": still.hex()}
    text = json.dumps(told, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return other, text, bytes(salt), commitment(bytes(salt), text)


@row("a row is modified and hashed anew", "LEAF_MISMATCH")
async def _rehashed(ground: Ground) -> list[tuple[str, set[str]]]:
    content, opening, _, _ = _forged(ground)
    ground.sql(
        f"UPDATE version SET content = :content, opening = :opening WHERE key = {VERSION}",
        content=content,
        opening=opening,
        **O1,
    )
    return await both(ground)


@row("and its leaf is rewritten", "ROOT_MISMATCH", "STATE_INVALID", "FORK")
async def _rewritten(ground: Ground) -> list[tuple[str, set[str]]]:
    content, opening, _, forged = _forged(ground)
    values = {"content": content, "opening": opening, "commitment": forged}
    ground.sql(
        f"UPDATE version SET content = :content, opening = :opening, commitment = :commitment WHERE key = {VERSION}",
        **values,
        **O1,
    )
    ground.sql(f"UPDATE leaf SET commitment = :commitment WHERE version = {VERSION}", commitment=forged, **O1)
    _rebuilt(ground)
    return [await audited(ground), ("evidence", await proven(ground, "Observation/o1/2"))]


def _rebuilt(ground: Ground) -> None:
    """Make the nodes of the log fit its leaves again."""
    leaves = dict(ground.rows("SELECT sequence, commitment FROM leaf"))
    sealed = dict(ground.rows("SELECT sequence, commitment FROM sealed"))
    frontier = merkle.Frontier()
    nodes: list[tuple[merkle.Coordinate, bytes]] = []
    for place in sorted(leaves):
        nodes += frontier.append(merkle.leaf_hash(leaves[place]))
        if place in sealed:
            nodes += frontier.append(merkle.leaf_hash(sealed[place]))
    for (level, index), digest in nodes:
        ground.sql("UPDATE node SET hash = :hash WHERE key = :key", hash=digest, key=(level << 56) | index)


async def _another(ground: Ground) -> None:
    """Put a log with another story in the place of the true one, signed with the log's own key, its receipts kept."""
    other = await made(ground.path / "other", story="false")
    receipts = ground.rows("SELECT * FROM receipt")
    shutil.rmtree(ground.path / "store")
    shutil.move(other.path / "store", ground.path / "store")
    _receipted(ground, receipts)


def _receipted(ground: Ground, receipts: list[tuple[Any, ...]]) -> None:
    """Put these receipts in the place of those that are there."""
    if not receipts:
        return  # the ledger gives none
    ground.sql("DELETE FROM receipt")
    for channel, size, backend, root, position, proof in receipts:
        ground.sql(
            "INSERT INTO receipt VALUES (:channel, :size, :backend, :root, :position, :proof)",
            channel=channel,
            size=size,
            backend=backend,
            root=root,
            position=position,
            proof=proof,
        )


@row("history is rewritten with the stolen log key", "QUORUM_NOT_MET", "FORK", silent="FORK")
async def _stolen(ground: Ground) -> list[tuple[str, set[str]]]:
    await _another(ground)
    return await both(ground)


@row("a row is deleted", "MISSING_OPENING")
async def _deleted(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(f"DELETE FROM version WHERE key = {VERSION}", type="Observation", id="o1", version=2)
    return [await audited(ground)]


@row("a row and its leaf are deleted", "LEAF_MISSING", "ROOT_MISMATCH", "STATE_INVALID", "STALE_VERSION")
async def _unlogged(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(f"DELETE FROM leaf WHERE version = {VERSION}", **O1)
    evidence = await proven(ground, "Observation/o1/2")
    ground.sql(f"DELETE FROM version WHERE key = {VERSION}", **O1)
    return [await audited(ground), ("evidence", evidence)]


@row("leaves are put in another order", "ROOT_MISMATCH", "FORK")
async def _reordered(ground: Ground) -> list[tuple[str, set[str]]]:
    first, second = ground.rows("SELECT sequence, commitment, version FROM leaf WHERE sequence IN (2, 3)")
    for (_, digest, version), place in ((first, second[0]), (second, first[0])):
        ground.sql(
            "UPDATE leaf SET commitment = :digest, version = :version WHERE sequence = :place",
            digest=digest,
            version=version,
            place=place,
        )
    _rebuilt(ground)
    return [await audited(ground), ("evidence", await proven(ground, "Patient/p0/1"))]


@row("a truncated log is served", "SIZE_REGRESSION")
async def _truncated(ground: Ground) -> list[tuple[str, set[str]]]:
    older = ground.copy(ground.path / "older")
    async with ground.store() as store, ground.ledger() as ledger:
        await ground.write(store, put(patient(77)), message=b"MSH|later")
        await ground.anchor(store, ledger)
        head = await store.checkpoint(CHANNEL)
    shutil.rmtree(ground.path / "store")
    shutil.copytree(older.path / "store", ground.path / "store")
    seen = f"{head.size}:{head.root.hex()}"
    document = await ground.evidence("Observation/o1/2", seen=head.size)
    return [
        await audited(ground),
        await audited(ground, seen=head),
        ("evidence", {(await ground.verified(document, seen=seen)).code}),
    ]


@row("a log is truncated and signed anew", "QUORUM_NOT_MET", "FORK", silent="FORK")
async def _resigned(ground: Ground) -> list[tuple[str, set[str]]]:
    older = ground.copy(ground.path / "older")
    async with ground.store() as store, ground.ledger() as ledger:
        await ground.write(store, put(patient(77)), message=b"MSH|as it was")
        await ground.anchor(store, ledger)
    receipts = ground.rows("SELECT * FROM receipt")
    shutil.rmtree(ground.path / "store")
    shutil.copytree(older.path / "store", ground.path / "store")
    async with ground.store() as store:
        await ground.write(store, put(patient(78)), message=b"MSH|as it is told now")
        await ground.anchor(store, None)
    _receipted(ground, receipts)
    return await both(ground, "Patient/p78/1")


@row("two logs are shown to two readers", "FORK")
async def _equivocated(ground: Ground) -> list[tuple[str, set[str]]]:
    async with ground.store() as store:
        head = await store.checkpoint(CHANNEL)
    await _another(ground)
    document = await ground.evidence("Patient/p0/1", state=True)
    found = await ground.verified(document, quorum=0, seen=f"{head.size}:{head.root.hex()}")
    codes = {step.code for step in found.steps if step.result == "failed"}
    audit = await audited(ground, seen=head)
    return [("evidence", codes - {"RECEIPT_INVALID"}), (audit[0], audit[1] - {"QUORUM_NOT_MET"})]


@row(
    "the records of two patients are exchanged", "BINDING_MISMATCH", "STATE_INVALID", "LEAF_MISSING", "ORDER_VIOLATION"
)
async def _exchanged(ground: Ground) -> list[tuple[str, set[str]]]:
    names = [{"type": "Patient", "id": id_, "version": 1} for id_ in ("p0", "p3")]
    rows = [
        ground.rows(f"SELECT key, content, opening, salt, commitment FROM version WHERE key = {VERSION}", **name)[0]
        for name in names
    ]
    for (place, *_), (_, *values) in zip(rows, reversed(rows), strict=True):
        told = dict(zip(("content", "opening", "salt", "commitment"), values, strict=True))
        ground.sql(
            "UPDATE version SET content = :content, opening = :opening, salt = :salt, commitment = :commitment"
            " WHERE key = :key",
            key=place,
            **told,
        )
    evidence = await proven(ground, "Patient/p0/1")
    for place, *_ in rows:
        digest = ground.rows("SELECT commitment FROM version WHERE key = :key", key=place)[0][0]
        ground.sql("UPDATE leaf SET version = :key WHERE commitment = :digest", key=place, digest=digest)
    return [("evidence", evidence), await audited(ground)]


@row("an old version is served as the current one", "STALE_VERSION")
async def _replayed(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(
        "UPDATE resource SET version = 1 WHERE id = 'o1' AND type = (SELECT key FROM symbol WHERE text = 'Observation')"
    )
    evidence = await proven(ground, "Observation/o1/1", state=True, latest=True)
    return [("evidence", evidence), await audited(ground)]


@row("the proof of another leaf is grafted on", "INCLUSION_INVALID")
async def _grafted(ground: Ground) -> list[tuple[str, set[str]]]:
    document = await ground.evidence("Observation/o1/2")
    other = await ground.evidence("Observation/o0/1")
    for taken in (("inclusionProof",), ("inclusionProof", "leafIndex")):
        found = await ground.verified(document | {name: other[name] for name in taken})
        if found.code != "INCLUSION_INVALID":
            return [("evidence", {found.code})]
    return [("evidence", {"INCLUSION_INVALID"})]


@row("an inner node is offered as a leaf", "INCLUSION_INVALID")
async def _inner(ground: Ground) -> list[tuple[str, set[str]]]:
    document = await ground.evidence("Observation/o1/2")
    path = document["inclusionProof"]
    leaf = merkle.leaf_hash(bytes.fromhex(document["commitment"]))
    pair = (path[0], leaf.hex()) if document["leafIndex"] % 2 else (leaf.hex(), path[0])
    node = merkle.node_hash(*(bytes.fromhex(side) for side in pair))
    forged = {"commitment": node.hex(), "inclusionProof": path[1:], "leafIndex": document["leafIndex"] // 2}
    found = await ground.verified(document | forged)
    return [("evidence, step 5", {found.steps[4].code})]


@row("a stale checkpoint is served", "STALE_CHECKPOINT", silent=None)
async def _stale(ground: Ground) -> list[tuple[str, set[str]]]:
    asked = int(ground.wall.instant.timestamp()) + 86400
    return [("evidence", await proven(ground, "Observation/o1/2", since=asked))]


@row("the clock is moved", "TIME_OUT_OF_BRACKET")
async def _moved(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql("UPDATE state SET instant = 0")
    ground.wall.instant -= timedelta(days=400)
    async with ground.store() as store, ground.ledger() as ledger:
        await ground.write(store, put(patient(70)), message=b"MSH|last year")
        ground.wall.instant += timedelta(days=400)
        await ground.anchor(store, ledger)
    return [await audited(ground)]


@row("a Provenance is deleted", "DEPENDENCY_MISSING", "LEAF_MISSING", "ROOT_MISMATCH", "STATE_INVALID", "LEAF_MISMATCH")
async def _unproven(ground: Ground) -> list[tuple[str, set[str]]]:
    document = await ground.evidence("Patient/p0/1")
    stripped = await ground.verified(document | {"dependencies": []})
    ground.sql("DELETE FROM version WHERE key = (SELECT version FROM leaf WHERE sequence = 1)")
    ground.sql("DELETE FROM leaf WHERE sequence = 1")
    return [
        ("evidence", {stripped.code}),
        ("evidence", await proven(ground, "Patient/p0/1")),
        await audited(ground),
    ]


@row("what justifies a version is logged after it", "ORDER_VIOLATION", "DEPENDENCY_MISSING")
async def _justified(ground: Ground) -> list[tuple[str, set[str]]]:
    async with ground.store() as store:
        await ground.write(store, put(patient(80)), message=b"MSH|justified later")
    first, second = ground.rows("SELECT sequence, commitment, version FROM leaf ORDER BY sequence DESC LIMIT 2")
    for (_, digest, version), place in ((first, second[0]), (second, first[0])):
        ground.sql(
            "UPDATE leaf SET commitment = :digest, version = :version WHERE sequence = :place",
            digest=digest,
            version=version,
            place=place,
        )
    async with ground.store() as store, ground.ledger() as ledger:
        await ground.anchor(store, ledger)
    audit = await audited(ground)
    return [("evidence", await proven(ground, "Patient/p80/1")), (audit[0], audit[1] | {"ORDER_VIOLATION"})]


@row("a key signs that was rotated out", "KEY_NOT_VALID_AT_SIZE")
async def _rotated(ground: Ground) -> list[tuple[str, set[str]]]:
    vkey = str(Signer(CHANNEL, key("log")).vkey)
    newer = str(Signer(CHANNEL, key("newer")).vkey)
    trust = await ground.trust()
    trust["log"] = [{"vkey": vkey, "fromSize": 1, "toSize": 3}, {"vkey": newer, "fromSize": 4, "toSize": None}]
    return [
        ("evidence", await proven(ground, "Observation/o1/2", trust)),
        await audited(ground, keys=[LogKey(vkey, 1, 3), LogKey(newer, 4)]),
    ]


@row("cosignatures are stripped, or one is repeated", "QUORUM_NOT_MET", silent=None)
async def _stripped(ground: Ground) -> list[tuple[str, set[str]]]:
    document = await ground.evidence("Observation/o1/2")
    none = await ground.verified(document | {"receipts": []})
    twice = [document["receipts"][0], document["receipts"][0] | {"backend": "log2"}]
    trust = await ground.trust()
    trust["backends"]["log2"] = trust["backends"]["log"]
    again = await ground.verified(document | {"receipts": twice}, trust | {"quorum": 2})
    return [("evidence", {none.code}), ("evidence", {again.code})]


@row("a row is never anchored", "UNANCHORED_TOO_OLD")
async def _unanchored(ground: Ground) -> list[tuple[str, set[str]]]:
    async with ground.store() as store:
        await ground.write(store, put(patient(90)), message=b"MSH|kept back")
    ground.wall.instant += timedelta(hours=5)
    return [await audited(ground)]


@row("a hidden record is said to be absent", "ABSENCE_INVALID")
async def _hidden(ground: Ground) -> list[tuple[str, set[str]]]:
    document = await ground.evidence("Patient/p1")
    found = await ground.verified(document)
    for forged in ({"end": None}, {"end": None, "levels": "", "siblings": ""}):
        refused = await ground.verified(document | {"state": document["state"] | forged})
        if refused.ok or refused.code != "STATE_INVALID":
            return [("evidence", {refused.code})]
    return [("evidence", {found.code})]


@row("the current-state map is rewritten", "STATE_INVALID")
async def _remapped(ground: Ground) -> list[tuple[str, set[str]]]:
    old = ground.rows(f"SELECT commitment FROM version WHERE key = {VERSION}", **(O1 | {"version": 1}))[0][0]
    place = sha256(b"Observation/o1").digest()
    pages = dict(ground.rows("SELECT path, page FROM spot ORDER BY size"))
    root, changed = statemap.grown(pages, {place: old})
    for path, page in changed.items():
        ground.sql("UPDATE spot SET page = :page WHERE path = :path", page=page, path=path)
    ground.sql("UPDATE sealed SET root = :root WHERE size = (SELECT max(size) FROM sealed)", root=root)
    return [("evidence", await proven(ground, "Observation/o1/1", state=True)), await audited(ground)]


@row("the whole node is restored from a backup", "ROLLED_BACK")
async def _restored(ground: Ground) -> list[tuple[str, set[str]]]:
    older = ground.copy(ground.path / "backup")
    async with ground.store() as store, ground.ledger() as ledger:
        await ground.write(store, put(patient(78)), message=b"MSH|after the backup")
        await ground.anchor(store, ledger)
    shutil.rmtree(ground.path / "store")
    shutil.copytree(older.path / "store", ground.path / "store")
    return [("start", {(await ground.state()).name})]


@row("the log continues another one than the ledger holds", "FORKED")
async def _forked(ground: Ground) -> list[tuple[str, set[str]]]:
    await _another(ground)
    ground.sql("DELETE FROM receipt")  # those that the other log has of its own, or those of the true one
    return [("start", {(await ground.state()).name})]


@row("a raw source message is altered", "SOURCE_MISMATCH")
async def _altered(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql("UPDATE journal SET body = CAST('MSH|something else' AS BLOB) WHERE sequence = 2")
    return [await audited(ground)]


@row("a salt is gone", "MISSING_OPENING")
async def _unsalted(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(f"UPDATE version SET salt = NULL WHERE key = {VERSION}", **O1)
    return await both(ground)


@row("rows hold values of other types", "LEAF_MISMATCH", "ROOT_MISMATCH", "LEAF_MISSING", "STATE_INVALID")
async def _mistyped(ground: Ground) -> list[tuple[str, set[str]]]:
    ground.sql(f"UPDATE version SET opening = x'ff00', patients = '' WHERE key = {VERSION}", **O1)
    found = await both(ground)
    ground.sql("UPDATE leaf SET commitment = x'00' WHERE sequence = 2")
    return [*found, (await audited(ground))]
