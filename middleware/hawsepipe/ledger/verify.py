"""Verifies evidence of one version, or that a resource never was, offline, without trusting whoever served it.

This file stands alone: the standard library and `cryptography`, no network, nothing else of Hawsepipe. Hand it to an
auditor together with a trust document that came another way than the evidence: `python verify.py evidence trust`.
It ends with 0 when it is proven, 1 with a finding, 2 when it could not be run. The steps, in order:

     1 parse        strict JSON: no key twice, no NaN, nothing unknown; the opening in its canonical form
     2 content      SHA-256 over the canonical content is the opening's versionHash; staticHash likewise
     3 binding      channel, type, id, version, patient: in the content, in the opening, and as asked
     4 commitment   SHA-256("hawsepipe/commit/v1" 0x00 || salt || opening) is the leaf's data
     5 inclusion    the path from the leaf leads to the checkpoint's root (RFC 6962, RFC 9162 section 2.1.3.2)
     6 checkpoint   a log key of the trust document signed it (C2SP signed note)
     7 key          and that key was the log's at this size
     8 receipts     enough distinct parties cosigned this very checkpoint (C2SP cosignature/v1)
     9 freshness    the cosignatures are not older than asked
    10 consistency  the log continues the one that was seen before, if that is asked (RFC 9162 section 2.1.4.2)
    11 current      the map that the log's last leaf seals has this version as the latest, or no such resource
    12 dependencies the Provenance that the opening names is in the log, before this version, and names it
    13 time         not in this version of the format

Evidence of absence (hawsepipe/absence/v1) has no version, so that steps 2, 4, 5 and 12 say nothing of it.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EVIDENCE_FORMAT = "hawsepipe/evidence/v1"
ABSENCE_FORMAT = "hawsepipe/absence/v1"
TRUST_FORMAT = "hawsepipe/trust/v1"

_LARGEST, _DEEPEST = 64 << 20, 200  # bytes of a document, and how deep it may be
_MARKS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*+"', re.DOTALL)
_HASH, _NATURAL = re.compile(r"[0-9a-f]{64}"), re.compile(r"0|[1-9][0-9]{0,17}")
_REQUIRED = {EVIDENCE_FORMAT: {1, 2, 3, 4, 5, 6, 7, 8, 12}, ABSENCE_FORMAT: {1, 3, 6, 7, 8, 11}}
_OF_A_VERSION = {"content", "commitment", "inclusion", "dependencies"}
_LEAF = "commitment leafIndex inclusionProof opening salt content"
_ABSENCE = "format type id rootHash checkpoint receipts consistency state"
_KEYS = {EVIDENCE_FORMAT: f"{_ABSENCE} {_LEAF} version dependencies", ABSENCE_FORMAT: _ABSENCE}
_OPENING = "kind channel type id version operation patients recorded versionHash staticHash previous provenance"
_OPENING += " targets source rules map size"


class EvidenceError(Exception):
    """The evidence does not prove it. `code` is the finding, `reason` a sentence without patient data."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code, self.reason = code, detail or code.replace("_", " ").lower()
        super().__init__(f"{code}: {self.reason}")


class Step(NamedTuple):
    """What one step came to. `result` is ok, failed or skipped; `code` is the finding of a failed step, else empty."""

    number: int
    name: str
    result: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.number:>2} {self.name:<12} {self.result:<8} {self.code + ': ' if self.code else ''}{self.text}"


class Findings(NamedTuple):
    """The outcome of evidence in this format. `str` gives a line for each step."""

    steps: tuple[Step, ...]
    format: str = EVIDENCE_FORMAT

    @property
    def ok(self) -> bool:
        """Whether it is proven: no step failed and no required one was skipped."""
        done = {step.number for step in self.steps if step.result == "ok"}
        return done >= _REQUIRED[self.format] and not self.code

    @property
    def code(self) -> str:
        """The first finding, empty when it is proven."""
        return next((step.code for step in self.steps if step.result == "failed"), "")

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), "PROVEN" if self.ok else f"NOT PROVEN: {self.code}"])


class Asked(NamedTuple):
    """What the reader wanted, None for what does not matter to them. `quorum` counts parties, `since` is in POSIX
    seconds, `seen` is `size:root in hex` of the log as they have seen it, `latest` asks that no version be newer.
    """

    type: str | None = None
    id: str | None = None
    version: int | None = None
    patient: str | None = None
    quorum: int | None = None
    since: int | None = None
    seen: str | None = None
    latest: bool = False


def verify(evidence: bytes, trust: bytes, asked: Asked | None = None) -> Findings:
    """Verify evidence against a trust document. Never raises; whatever is wrong is a failed step."""
    case = _Case(evidence, trust, asked or Asked())
    steps: list[Step] = []
    for number, (name, needs) in enumerate(_STEPS.items(), start=1):
        missing = [step.number for step in steps if step.number in {1, *needs} and step.result != "ok"]
        if missing:
            steps.append(Step(number, name, "skipped", "", f"needs step {missing[0]}"))
            continue
        try:
            text = getattr(case, name)() if case.format == EVIDENCE_FORMAT or name not in _OF_A_VERSION else None
        except EvidenceError as refusal:
            steps.append(Step(number, name, "failed", refusal.code, refusal.reason))
        except Exception:
            # A verifier that crashes is a verifier that can be got around: what nobody thought of is a finding as well.
            steps.append(Step(number, name, "failed", "MALFORMED", "the evidence cannot be understood"))
        else:
            steps.append(Step(number, name, "skipped" if text is None else "ok", "", text or "not asked for"))
    return Findings(tuple(steps), case.format)


_STEPS: dict[str, tuple[int, ...]] = {
    "parse": (), "content": (), "binding": (), "commitment": (), "inclusion": (), "checkpoint": (), "key": (6,),
    "receipts": (), "freshness": (8,), "consistency": (), "current": (3,), "dependencies": (5,), "time": (),
}  # fmt: skip  # each but the first needs that one, and these


class _Case:
    """One verification: what earlier steps have established, for the later ones. A method a step."""

    def __init__(self, evidence: bytes, trust: bytes, asked: Asked) -> None:
        self._raw, self._raw_trust, self._asked = evidence, trust, asked
        self.format = EVIDENCE_FORMAT
        self._signers: list[_Key] = []
        self._times: list[int] = []

    def parse(self) -> str:
        try:
            self._trusted(_object(parse(self._raw_trust), "format channel log backends witnesses groups quorum"))
        except EvidenceError as refusal:
            raise EvidenceError("TRUST_INVALID", refusal.reason) from refusal
        tree = parse(self._raw)
        if isinstance(tree, dict) and tree.get("format") == ABSENCE_FORMAT:
            self.format = ABSENCE_FORMAT
        self._it = it = _object(tree, _KEYS[self.format])
        _require(it.get("format") == self.format, "MALFORMED", "format")
        if self.format == EVIDENCE_FORMAT:
            _require(it.get("opening") is not None and it.get("salt") is not None, "MISSING_OPENING")
            _require(all(it.get(key) is not None for key in _LEAF.split()[:3]), "LEAF_MISSING")
            self._opening = it.opened("resource", "consent", "provenance")
        return "well formed"

    def _trusted(self, it: _Fields) -> None:
        _require(it.get("format") == TRUST_FORMAT, "TRUST_INVALID", f"the format is not {TRUST_FORMAT}")
        self._channel, self._log = it.text("channel"), list[_Key]()
        for item in it.members("log"):
            entry = _object(item, "vkey fromSize toSize rotation")
            last = entry.natural("toSize") if entry.get("toSize") is not None else None
            self._log.append(_vkey(entry.text("vkey"), 0x01)._replace(first=entry.natural("fromSize"), last=last))
        backends = {name: _object(entry) for name, entry in _object(it.get("backends")).items()}
        vkeys = {name: entry.text("vkey") for name, entry in backends.items() if entry.get("type") == "cosignature/v1"}
        witnesses = _object(it.get("witnesses", {}))
        vkeys |= {name: witnesses.text(name) for name in witnesses}
        self._parties = {name: _vkey(vkey, 0x04) for name, vkey in vkeys.items()}
        self._groups, names = _object(it.get("groups", {})), {*backends, *witnesses}
        _require(len(names) == len(backends) + len(witnesses), "TRUST_INVALID", "a witness is named as a ledger")
        for name in self._groups:
            group = self._groups[name] = _object(self._groups[name], "threshold members")
            fits = name not in names and group.natural("threshold") and names >= set(group.texts("members"))
            _require(fits, "TRUST_INVALID", "a group has no threshold, or members that do not stand before it")
            names.add(name)
        group_named = isinstance(it.get("quorum"), str) and it["quorum"] in self._groups
        self._quorum = it["quorum"] if group_named else it.natural("quorum") if "quorum" in it else 1

    def _met(self, signed: dict[str, bytes], quorum: int | str) -> bool:
        if isinstance(quorum, int):
            return len(set(signed.values())) >= quorum  # keys are counted, not lines and not names
        for name, group in self._groups.items():
            if len({signed[it] for it in group.texts("members") if it in signed}) >= group.natural("threshold"):
                signed[name] = name.encode()
        return quorum in signed

    @property
    def _note(self) -> _Note:
        return _noted(self._it.text("checkpoint"))

    def content(self) -> str:
        self._it.check_content(self._opening)
        return "the content is what was committed to"

    def binding(self) -> str:
        asked, label = self._asked, (self._it.text("type"), self._it.text("id"))
        _require(asked.type in (None, label[0]) and asked.id in (None, label[1]), "BINDING_MISMATCH", "not as asked")
        if self.format == ABSENCE_FORMAT:
            return f"{label[0]}"
        opening, version = self._opening, self._it.natural("version")
        _require(opening.text("channel") == self._channel, "BINDING_MISMATCH", "channel")
        told = (opening.text("type"), opening.text("id"), opening.natural("version"))
        _require(told == (*label, version), "BINDING_MISMATCH", "label")
        self._it.check_identity(opening)
        _require(asked.version in (None, version), "BINDING_MISMATCH", "not as asked")
        _require(asked.patient is None or asked.patient in opening.texts("patients"), "BINDING_MISMATCH", "patient")
        return f"{label[0]} version {version}"

    def commitment(self) -> str:
        self._it.check_commitment()
        return "the opening opens the commitment"

    def inclusion(self) -> str:
        note, index = self._note, self._it.natural("leafIndex")
        root = self._it.root(index, note.size)
        _require(root == self._it.hash("rootHash"), "INCLUSION_INVALID")
        _require(root == note.root, "ROOT_MISMATCH")
        return f"leaf {index} of {note.size}"

    def checkpoint(self) -> str:
        note = self._note
        _require(note.origin == self._channel, "CHECKPOINT_INVALID", "channel")
        for line in note.signatures:
            for key in [key for key in self._log if key.made(line)]:
                key.check(line[2], note.text, "SIGNATURE_INVALID")
                self._signers.append(key)
        _require(self._signers, "SIGNATURE_INVALID")
        return f"signed by {note.origin}"

    def key(self) -> str:
        size = self._note.size
        valid = any(key.first <= size and (key.last is None or size <= key.last) for key in self._signers)
        _require(valid, "KEY_NOT_VALID_AT_SIZE", str(size))
        return f"the log's key at size {size}"

    def receipts(self) -> str:
        note, told, words, broken = self._note, list[str](), dict[str, tuple[bytes, int]](), False
        given = [_object(item, "backend channel size root position proof") for item in self._it.members("receipts")]
        lines: list[tuple[str, _Key | None, _Fields | _Line]] = []
        lines += [(it.text("backend"), self._parties.get(it.text("backend")), it) for it in given]
        for name, key in self._parties.items():
            lines += [(name, key, line) for line in note.signatures if key.made(line)]
        for party, signer, word in lines:
            try:
                _require(party not in words, "RECEIPT_INVALID", "given twice")
                if signer is None:
                    told.append(f"{party}: not checked")
                else:
                    words[party] = signer.word(_cosignature(word, note) if isinstance(word, _Fields) else word, note)
            except EvidenceError as refusal:
                broken = True
                told.append(f"{party}: {refusal.reason}")
        own = {key.public for key in self._log}  # the log does not witness itself
        words = {party: word for party, word in words.items() if word[0] not in own}
        quorum: int | str = self._quorum if self._asked.quorum is None else self._asked.quorum
        met = self._met({party: key for party, (key, _) in words.items()}, quorum)
        told.insert(0, f"{len({key for key, _ in words.values()})} of {quorum} needed")
        _require(met and not broken, "RECEIPT_INVALID" if met else "QUORUM_NOT_MET", "; ".join(told))
        times = sorted((seconds for _, seconds in words.values()), reverse=True)
        self._times = times[: max(quorum, 1)] if isinstance(quorum, int) else times
        return "; ".join(told)

    def freshness(self) -> str | None:
        if self._asked.since is None:
            return None
        _require(self._times and min(self._times) >= self._asked.since, "STALE_CHECKPOINT")
        return "recent enough"

    def consistency(self) -> str | None:
        if self._asked.seen is None:
            return None
        number, _, text = self._asked.seen.partition(":")
        note, size, seen = self._note, int(number), bytes.fromhex(text)
        _require(size <= note.size, "SIZE_REGRESSION", f"{note.size} leaves, {size} before")
        roots: tuple[bytes, bytes] | None = (note.root, note.root)
        if size < note.size:
            _require("consistency" in self._it, "CONSISTENCY_MISSING")
            path = [_unhex(step, "FORK") for step in self._it.texts("consistency")]
            path = path if size & (size - 1) else [seen, *path]
            low = ((size - 1) ^ size).bit_length() - 1  # levels of the complete subtree at its end
            roots = _folded((size - 1) >> low, (note.size - 1) >> low, path[0], path[1:]) if size and path else None
        _require(roots == (seen, note.root), "FORK")
        return f"it continues the log of {size} leaves"

    def current(self) -> str | None:
        absent = self.format == ABSENCE_FORMAT
        if "state" not in self._it:
            _require(not absent and not self._asked.latest, "STATE_MISSING")
            return None
        note, state = self._note, _object(self._it["state"], f"{_LEAF} levels siblings end")
        opening = state.opened("state")
        _require((opening.text("channel"), opening.natural("size")) == (self._channel, note.size), "STATE_INVALID")
        state.check_commitment()
        led = state.root(note.size - 1, note.size)
        _require(led == note.root == self._it.hash("rootHash"), "INCLUSION_INVALID", "state leaf")
        place = sha256(f"{self._it.text('type')}/{self._it.text('id')}".encode()).digest()
        end = _object(state["end"], "place value") if state.get("end") is not None else None
        siblings = _unbase64(state.text("siblings"), "STATE_INVALID")
        _require(_map_root(place, end, state.text("levels"), siblings) == opening.hash("map"), "STATE_INVALID")
        there = end.hash("value") if end is not None and end.hash("place") == place else None
        if absent:
            _require(there is None, "ABSENCE_INVALID")
            return "there never was such a resource"
        _require(there is not None, "STATE_INVALID", "another place")
        _require(there == self._it.hash("commitment"), "STALE_VERSION")
        return "it is the latest version"

    def dependencies(self) -> str:
        named = self._opening.hash("provenance") if "provenance" in self._opening else None
        given = [_object(item, f"{_LEAF} role") for item in self._it.members("dependencies")]
        fitting = len(given) <= (named is not None) and all(item.get("role") == "provenance" for item in given)
        _require(fitting, "MALFORMED", "dependencies")
        if named is None:
            return "none named"
        _require(given and given[0].hash("commitment") == named, "DEPENDENCY_MISSING")
        item, index = given[0], given[0].natural("leafIndex")
        _require(item.root(index, self._note.size) == self._it.hash("rootHash"), "INCLUSION_INVALID", "Provenance")
        _require(index < self._it.natural("leafIndex"), "ORDER_VIOLATION")
        if not item.keys() & {"opening", "salt", "content"}:
            return "the Provenance is in the log, before it"
        opening = item.opened("resource", "consent", "provenance")
        item.check_commitment()
        ours = opening.get("kind") == "provenance" and opening.text("channel") == self._channel
        _require(ours, "BINDING_MISMATCH", "Provenance")
        names = {key: self._opening[key] for key in ("id", "type", "version", "versionHash") if key in self._opening}
        target = sha256(b"hawsepipe/target/v1\x00" + self._it.hash("salt") + canonical(names)).digest().hex()
        _require(target in opening.texts("targets"), "DEPENDENCY_MISSING")
        if "content" in item:
            item.check_content(opening)
            item.check_identity(opening)
        return "the Provenance is in the log, before it, and names it"

    def time(self) -> None: ...


class _Fields(dict[str, Any]):
    """A JSON object that gives its values by type, or refuses; one with a leaf in it is checked as such."""

    def text(self, key: str) -> str:
        value = self.get(key)
        _require(isinstance(value, str), "MALFORMED", key)
        return str(value)

    def natural(self, key: str) -> int:
        value = self.get(key)
        lexeme = value.lexeme if isinstance(value, _Number) else ""
        _require(_NATURAL.fullmatch(lexeme), "MALFORMED", key)
        return int(lexeme)

    def hash(self, key: str) -> bytes:
        return _unhex(self.text(key), "MALFORMED")

    def members(self, key: str) -> list[Any]:
        value = self.get(key)
        _require(isinstance(value, list), "MALFORMED", key)
        return list(value or ())

    def texts(self, key: str) -> list[str]:
        _require(all(isinstance(item, str) for item in self.members(key)), "MALFORMED", key)
        return self.members(key)

    def opened(self, *kinds: str) -> _Fields:
        opening = _object(parse(self.text("opening").encode()), _OPENING)
        _require(canonical(opening) == self.text("opening").encode(), "MALFORMED", "not canonical")
        _require(opening.get("kind") in kinds, "MALFORMED", "kind")
        return opening

    def check_commitment(self) -> None:
        computed = sha256(b"hawsepipe/commit/v1\x00" + self.hash("salt") + self.text("opening").encode()).digest()
        _require(computed == self.hash("commitment"), "LEAF_MISMATCH")

    def check_content(self, opening: _Fields) -> None:
        if opening.get("operation") == "delete":
            _require("content" not in self and "versionHash" not in opening, "CONTENT_MISMATCH", "a delete has none")
            return
        tree = self._content()
        static = {key: value for key, value in tree.items() if key not in ("meta", "text")}
        for key, part in (("versionHash", tree), ("staticHash", static)):
            _require(sha256(canonical(part)).digest() == opening.hash(key), "CONTENT_MISMATCH", key)

    def check_identity(self, opening: _Fields) -> None:
        kinds = {"Consent": ("consent",), "Provenance": ("provenance", "resource")}
        _require(opening["kind"] in kinds.get(opening.text("type"), ("resource",)), "BINDING_MISMATCH", "kind")
        _require(opening["type"] != "Patient" or opening["id"] in opening.texts("patients"), "BINDING_MISMATCH")
        if "content" in self:
            tree = self._content()
            meta = tree.get("meta")
            told = meta.get("versionId") if isinstance(meta, dict) else None
            wanted = (opening["type"], opening["id"], str(opening.natural("version")))
            _require((tree.get("resourceType"), tree.get("id"), told or wanted[2]) == wanted, "BINDING_MISMATCH")

    def _content(self) -> dict[str, Any]:
        text = self.get("content")
        tree = parse(text.encode(), "CONTENT_MISMATCH") if isinstance(text, str) else None
        _require(isinstance(tree, dict), "CONTENT_MISMATCH", "there is none")
        return dict(tree or {})

    def root(self, index: int, size: int) -> bytes:
        _require(index < size, "INCLUSION_INVALID", "outside")
        path = [_unhex(text, "INCLUSION_INVALID") for text in self.texts("inclusionProof")]
        roots = _folded(index, size - 1, sha256(b"\x00" + self.hash("commitment")).digest(), path)
        _require(roots, "INCLUSION_INVALID", "length")
        return roots[1] if roots else b""


_Line = tuple[str, bytes, bytes]  # name, key id and signature of a line of a signed note


class _Note(NamedTuple):
    text: bytes
    origin: str
    size: int
    root: bytes
    signatures: tuple[_Line, ...]


class _Key(NamedTuple):
    name: str
    public: bytes
    key_id: bytes
    first: int = 0
    last: int | None = None

    def check(self, signature: bytes, message: bytes, code: str) -> None:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise EvidenceError(code, "it does not fit") from error

    def made(self, line: _Line) -> bool:
        return (self.name, self.key_id) == line[:2]

    def word(self, line: _Line, note: _Note) -> tuple[bytes, int]:
        """Return who cosigned this checkpoint, and when (https://c2sp.org/tlog-cosignature), in POSIX seconds."""
        _require(self.made(line) and len(line[2]) == 72, "RECEIPT_INVALID", "it is no cosignature by the party's key")
        seconds = int.from_bytes(line[2][:8], "big")
        self.check(line[2][8:], f"cosignature/v1\ntime {seconds}\n".encode() + note.text, "RECEIPT_INVALID")
        return self.public, seconds


def _vkey(text: str, algorithm: int) -> _Key:
    name, _, rest = text.partition("+")
    key_id, _, material = rest.partition("+")
    raw = _unbase64(material, "TRUST_INVALID")
    computed = sha256(name.encode() + b"\n" + raw).digest()[:4]
    _require(name and len(raw) == 33 and raw[0] == algorithm and computed.hex() == key_id, "TRUST_INVALID")
    return _Key(name, raw[1:], computed)


def _noted(note: str) -> _Note:
    """Read a checkpoint (https://c2sp.org/tlog-checkpoint); no signature is checked here."""
    head, gap, tail = note.rpartition("\n\n")
    lines = head.split("\n")
    framed = gap and tail.endswith("\n") and not any(char < " " and char != "\n" for char in note)
    _require(framed and len(lines) >= 3 and lines[0] and _NATURAL.fullmatch(lines[1]), "CHECKPOINT_INVALID")
    signatures = tuple(_signature(line, "CHECKPOINT_INVALID") for line in tail[:-1].split("\n"))
    root = _unbase64(lines[2], "CHECKPOINT_INVALID")
    return _Note((head + "\n").encode(), lines[0], int(lines[1]), root, signatures)


def _signature(line: str, code: str) -> _Line:
    parts = line.split(" ")
    _require(len(parts) == 3 and parts[0] == "—" and parts[1], code, "signature line")
    raw = _unbase64(parts[2], code)
    return parts[1], raw[:4], raw[4:]


def _cosignature(receipt: _Fields, note: _Note) -> _Line:
    told = (receipt.text("channel"), receipt.natural("size"), receipt.hash("root"), receipt.text("position"))
    _require(told == (note.origin, note.size, note.root, str(note.size)), "RECEIPT_INVALID", "another checkpoint")
    return _signature(_object(receipt.get("proof"), "cosignature").text("cosignature"), "RECEIPT_INVALID")


def _folded(place: int, last: int, value: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots that a path leads to: with the hashes on the left alone, and with all of them; None when no tree
    of `last` + 1 leaves has such a path (RFC 9162 sections 2.1.3.2 and 2.1.4.2, which walk alike).
    """
    old = new = value
    for sibling in path:
        if not last:
            return None
        if place & 1 or place == last:
            old, new = sha256(b"\x01" + sibling + old).digest(), sha256(b"\x01" + sibling + new).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = sha256(b"\x01" + new + sibling).digest()
        place, last = place >> 1, last >> 1
    return None if last else (old, new)


def _map_root(place: bytes, end: _Fields | None, levels: str, siblings: bytes) -> bytes:
    """Return the root that a way to a place leads to. `levels` says, from the root down, beside which steps there is
    something (1) or nothing (0); `siblings` are the hashes of what there is; `end` is the leaf at the way's end.
    """
    depth = len(levels)
    fits = set(levels) <= {"0", "1"} and depth <= 256 and len(siblings) == 32 * levels.count("1")
    _require(fits, "STATE_INVALID", "levels")
    given = (siblings[at : at + 32] for at in range(0, len(siblings), 32))
    beside = [next(given) if level == "1" else bytes(32) for level in levels]
    way, value = int.from_bytes(place, "big"), bytes(32)
    if end is not None:
        _require((int.from_bytes(end.hash("place"), "big") ^ way) >> (256 - depth) == 0, "STATE_INVALID")
        value = sha256(b"\x02" + end.hash("place") + end.hash("value")).digest()
    for at in reversed(range(depth)):
        value = sha256(b"\x03" + (beside[at] + value if way >> (255 - at) & 1 else value + beside[at])).digest()
    return value


class _Number(NamedTuple):
    """A JSON number as it was written: 1.00 is not 1."""

    lexeme: str


def parse(raw: bytes, code: str = "MALFORMED") -> Any:
    """Parse JSON strictly, numbers as lexemes. Raises EvidenceError (DUPLICATE_KEY, or the code given)."""
    try:
        _require(len(raw) <= _LARGEST, code, "it is too large")
        text, depth = raw.decode("utf-8"), 0
        for mark in _MARKS.findall(text):  # no reliance on what the interpreter takes before its stack ends
            depth += (mark in "[{") - (mark in "]}")
            _require(depth <= _DEEPEST, code, "it is too deep")
        numbers = {"parse_float": _Number, "parse_int": _Number, "parse_constant": int}  # NaN is no int: ValueError
        tree = json.loads(text, object_pairs_hook=_unique, **numbers)
        canonical(tree)
    except (UnicodeError, ValueError, RecursionError) as error:
        raise EvidenceError(code, "not JSON in UTF-8") from error
    return tree


def canonical(tree: Any) -> bytes:
    """Return canonical bytes: no whitespace, keys by code point, numbers as written, only the short escapes."""
    return _form(tree).encode("utf-8")


def _form(tree: Any) -> str:
    if isinstance(tree, dict):
        return "{" + ",".join(f"{_form(key)}:{_form(tree[key])}" for key in sorted(tree)) + "}"
    if isinstance(tree, list):
        return "[" + ",".join(map(_form, tree)) + "]"
    return tree.lexeme if isinstance(tree, _Number) else json.dumps(tree, ensure_ascii=False)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _require(len(found) == len(pairs), "DUPLICATE_KEY")
    return found


def _object(value: Any, known: str | None = None) -> _Fields:
    _require(isinstance(value, dict) and (known is None or value.keys() <= set(known.split())), "MALFORMED", "keys")
    return _Fields(value)


def _unhex(text: str, code: str) -> bytes:
    _require(_HASH.fullmatch(text), code, "hash")
    return bytes.fromhex(text)


def _unbase64(text: str, code: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
        _require(base64.b64encode(raw).decode() == text, code, "base64 has one form for what it says")
    except ValueError as error:
        raise EvidenceError(code, "base64") from error
    return raw


def _require(condition: object, code: str, detail: str = "") -> None:
    if not condition:
        raise EvidenceError(code, detail)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify two files and print the steps; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify evidence offline.", epilog=Asked.__doc__)
    for name in ("evidence", "trust"):
        parser.add_argument(name, type=argparse.FileType("rb"))
    for name in ("json", "latest"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in ("type", "id", "version", "patient", "quorum", "since", "seen"):
        parser.add_argument(f"--{name}", type=int if name in ("version", "quorum", "since") else str)
    given = parser.parse_args(arguments)
    asked = Asked(*(getattr(given, name) for name in Asked._fields))
    with given.evidence as evidence, given.trust as trust:
        findings = verify(evidence.read(), trust.read(), asked)
    found = {"proven": findings.ok, "code": findings.code, "steps": [step._asdict() for step in findings.steps]}
    sys.stdout.write(f"{json.dumps(found) if given.json else findings}\n")
    return 0 if findings.ok else 1


if __name__ == "__main__":
    sys.exit(main())
