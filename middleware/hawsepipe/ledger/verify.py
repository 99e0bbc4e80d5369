"""Verifies the evidence of one version, offline, without trusting whoever served it.

This file stands alone: the standard library and `cryptography`, no network, nothing else of Hawsepipe. Hand it to an
auditor together with a trust document that came another way than the evidence:

    python verify.py evidence.json trust.json [--type Patient --id 1 --version 2 --patient 1 --json]

It ends with 0 when the version is proven, 1 with a finding, 2 when it could not be run. The steps, in order:

     1 parse        strict JSON: no key twice, no NaN, nothing unknown; the opening in its canonical form
     2 content      SHA-256 over the canonical content is the opening's versionHash; staticHash likewise
     3 binding      channel, type, id, version, patient: in the content, in the opening, and as asked
     4 commitment   SHA-256("hawsepipe/commit/v1" 0x00 || salt || opening) is the leaf's data
     5 inclusion    the path from the leaf leads to the checkpoint's root (RFC 6962, RFC 9162 section 2.1.3.2)
     6 checkpoint   a log key of the trust document signed it (C2SP signed note)
     7 key          and that key was the log's at this size
     8 receipts     enough distinct keys of other parties have cosigned the very same checkpoint (C2SP cosignature/v1)
     9 freshness    the cosignatures are not older than asked
    10, 11, 13      consistency with a state seen before, current state, time stamps: not in this version of the format
    12 dependencies the Provenance that the opening names is in the log, before this version, and names it
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

EVIDENCE_FORMAT = "hawsepipe/evidence/v1"
TRUST_FORMAT = "hawsepipe/trust/v1"
COSIGNATURE_TYPE = "cosignature/v1"

_LARGEST = 64 << 20  # bytes of a document
_DEEPEST = 200
_MARKS = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*+"', re.DOTALL)
_HASH = re.compile(r"[0-9a-f]{64}")
_NATURAL = re.compile(r"0|[1-9][0-9]{0,17}")
_REQUIRED = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 12})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DEPENDENCY_KEYS = _words("role commitment leafIndex inclusionProof opening salt content")
_EVIDENCE_KEYS = _words("format type id version rootHash checkpoint receipts dependencies") | _DEPENDENCY_KEYS - {
    "role"
}
_RECEIPT_KEYS = _words("backend channel size root position proof")
_OPENING_KEYS = _words(
    "kind channel type id version operation patients recorded versionHash staticHash previous"
) | _words("provenance targets source rules")
_TRUST_KEYS = _words("format channel log backends quorum")
_NAMING_KEYS = ("id", "type", "version", "versionHash")


class EvidenceError(Exception):
    """The evidence does not prove the version. `code` is the finding, `reason` a sentence without patient data."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


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
    """The outcome. `str` gives a line for each step."""

    steps: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether the version is proven: no step failed and no required one was skipped."""
        done = {step.number for step in self.steps if step.result == "ok"}
        return done >= _REQUIRED and not any(step.result == "failed" for step in self.steps)

    @property
    def code(self) -> str:
        """The first finding, empty when the version is proven."""
        return next((step.code for step in self.steps if step.result == "failed"), "")

    def __str__(self) -> str:
        return "\n".join([*map(str, self.steps), "PROVEN" if self.ok else f"NOT PROVEN: {self.code}"])


class Asked(NamedTuple):
    """What the reader wanted, None for what does not matter to them. `since` is in POSIX seconds."""

    type: str | None = None
    id: str | None = None
    version: int | None = None
    patient: str | None = None
    quorum: int | None = None
    since: int | None = None


def verify(evidence: bytes, trust: bytes, asked: Asked | None = None) -> Findings:
    """Verify evidence against a trust document. Never raises; whatever is wrong is a failed step."""
    case = _Case(evidence, trust, asked or Asked())
    steps: list[Step] = []
    for number, (name, needs, check) in enumerate(case.steps(), start=1):
        missing = [step.number for step in steps if step.number in needs and step.result != "ok"]
        if missing:
            steps.append(Step(number, name, "skipped", "", f"needs step {missing[0]}"))
            continue
        try:
            text = check()
        except EvidenceError as refusal:
            steps.append(Step(number, name, "failed", refusal.code, refusal.reason))
        except Exception:
            # A verifier that crashes is a verifier that can be got around: what nobody thought of is a finding as well.
            steps.append(Step(number, name, "failed", "MALFORMED", "the evidence cannot be understood"))
        else:
            absent = "not asked for" if number == 9 else "not in this version of the format"
            steps.append(Step(number, name, "skipped" if text is None else "ok", "", text or absent))
    return Findings(tuple(steps))


class _Case:
    """One verification: what earlier steps have established, for the later ones."""

    def __init__(self, evidence: bytes, trust: bytes, asked: Asked) -> None:
        self._raw, self._raw_trust, self._asked = evidence, trust, asked
        self._evidence: dict[str, Any] = {}
        self._trust = _Trust("", (), {}, 1)
        self._opening: dict[str, Any] = {}
        self._signers: list[_Key] = []
        self._times: list[int] = []

    def steps(self) -> tuple[tuple[str, frozenset[int], Callable[[], str | None]], ...]:
        """Return name, needed earlier steps, and check of each step, in order."""
        parsed = frozenset({1})
        return (
            ("parse", frozenset(), self._parse),
            ("content", parsed, self._content),
            ("binding", parsed | {2}, self._binding),
            ("commitment", parsed, self._commitment),
            ("inclusion", parsed, self._inclusion),
            ("checkpoint", parsed, self._checkpoint),
            ("key", parsed | {6}, self._key),
            ("receipts", parsed, self._receipts),
            ("freshness", parsed | {8}, self._freshness),
            ("consistency", parsed, lambda: None),
            ("current", parsed, lambda: None),
            ("dependencies", parsed | {5}, self._dependencies),
            ("time", parsed, lambda: None),
        )

    def _parse(self) -> str:
        self._trust = _trust(self._raw_trust)
        evidence = _object(parse(self._raw, "the evidence"), _EVIDENCE_KEYS, "the evidence")
        if evidence.get("format") != EVIDENCE_FORMAT:
            raise EvidenceError("MALFORMED", f"the format is not {EVIDENCE_FORMAT}")
        if evidence.get("opening") is None or evidence.get("salt") is None:
            raise EvidenceError("MISSING_OPENING", "there is no opening with its salt")
        if any(evidence.get(key) is None for key in ("commitment", "leafIndex", "inclusionProof")):
            raise EvidenceError("LEAF_MISSING", "there is no leaf with its path")
        self._opening = _opened(_text(evidence, "opening"))
        self._evidence = evidence
        return "well formed"

    def _content(self) -> str:
        _check_content(self._evidence, self._opening)
        return "the content is what was committed to"

    def _binding(self) -> str:
        evidence, opening, asked = self._evidence, self._opening, self._asked
        label = (_text(opening, "type"), _text(opening, "id"), _natural(opening, "version"))
        if _text(opening, "channel") != self._trust.channel:
            raise EvidenceError("BINDING_MISMATCH", "it was committed to another channel")
        if label != (_text(evidence, "type"), _text(evidence, "id"), _natural(evidence, "version")):
            raise EvidenceError("BINDING_MISMATCH", "the evidence is labelled as another resource or version")
        _check_identity(evidence, opening)
        wanted = zip((asked.type, asked.id, asked.version), label, strict=True)
        if any(want is not None and want != found for want, found in wanted):
            raise EvidenceError("BINDING_MISMATCH", "it is not the resource or version that was asked for")
        if asked.patient is not None and asked.patient not in _texts(opening, "patients"):
            raise EvidenceError("BINDING_MISMATCH", "it is not about the patient that was asked for")
        return f"{label[0]} version {label[2]}"

    def _commitment(self) -> str:
        _check_commitment(self._evidence, _text(self._evidence, "opening"))
        return "the opening opens the commitment"

    def _inclusion(self) -> str:
        note = _note(_text(self._evidence, "checkpoint"))
        root = _root(self._evidence, note.size)
        if root != _hash(self._evidence, "rootHash"):
            raise EvidenceError("INCLUSION_INVALID", "the path does not lead to the root that the log was served with")
        if root != note.root:
            raise EvidenceError("ROOT_MISMATCH", "the log that was served has another root than its signed checkpoint")
        return f"leaf {_natural(self._evidence, 'leafIndex')} of {note.size}"

    def _checkpoint(self) -> str:
        note = _note(_text(self._evidence, "checkpoint"))
        if note.origin != self._trust.channel:
            raise EvidenceError("CHECKPOINT_INVALID", "the checkpoint is of another channel")
        for name, key_id, signature in note.signatures:
            for key in [key for key in self._trust.log if (name, key_id) == (key.name, key.key_id)]:
                _check_signature(key, signature, note.text, "SIGNATURE_INVALID")
                self._signers.append(key)
        if not self._signers:
            raise EvidenceError("SIGNATURE_INVALID", "no log key that is trusted has signed the checkpoint")
        return f"signed by {note.origin}"

    def _key(self) -> str:
        size = _note(_text(self._evidence, "checkpoint")).size
        if not any(key.first <= size and (key.last is None or size <= key.last) for key in self._signers):
            raise EvidenceError("KEY_NOT_VALID_AT_SIZE", f"the key that signed was not the log's at size {size}")
        return f"the log's key at size {size}"

    def _receipts(self) -> str:
        note = _note(_text(self._evidence, "checkpoint"))
        seen: set[str] = set()
        counted: dict[bytes, int] = {}
        unchecked, broken = list[str](), list[str]()
        for item in _items(self._evidence, "receipts"):
            receipt = _object(item, _RECEIPT_KEYS, "a receipt")
            backend = _text(receipt, "backend")
            if backend in seen:
                broken.append(f"{backend}: given twice")
            seen.add(backend)
            key = self._trust.backends.get(backend)
            if key is None:
                unchecked.append(f"{backend}: not checked")
                continue
            try:
                # Keys are counted, not lines and not names.
                counted.setdefault(key.public, _cosigned(receipt, note, key))
            except EvidenceError as refusal:
                broken.append(f"{backend}: {refusal.reason}")
        for key in self._trust.log:
            counted.pop(key.public, None)  # the log does not witness itself
        quorum = self._asked.quorum if self._asked.quorum is not None else self._trust.quorum
        told = "; ".join(
            [f"{len(counted)} of {quorum} needed", *broken, *(f"{name}: not checked" for name in unchecked)]
        )
        if broken or len(counted) < quorum:
            raise EvidenceError("QUORUM_NOT_MET" if len(counted) < quorum else "RECEIPT_INVALID", told)
        self._times = sorted(counted.values(), reverse=True)[: max(quorum, 1)]
        return told

    def _freshness(self) -> str | None:
        since = self._asked.since
        if since is not None and (not self._times or min(self._times) < since):
            raise EvidenceError("STALE_CHECKPOINT", "the checkpoint was cosigned before the time that was asked for")
        return None if since is None else "recent enough"

    def _dependencies(self) -> str:
        size = _note(_text(self._evidence, "checkpoint")).size
        named = _hash(self._opening, "provenance") if "provenance" in self._opening else None
        given = [_object(item, _DEPENDENCY_KEYS, "a dependency") for item in _items(self._evidence, "dependencies")]
        if len(given) > (named is not None) or any(item.get("role") != "provenance" for item in given):
            raise EvidenceError("MALFORMED", "there is a dependency that the opening does not name")
        if named is None:
            return "none named"
        if not given or _hash(given[0], "commitment") != named:
            raise EvidenceError("DEPENDENCY_MISSING", "the Provenance that the opening names is not there")
        item = given[0]
        if _root(item, size) != _hash(self._evidence, "rootHash"):
            raise EvidenceError("INCLUSION_INVALID", "the path of the Provenance does not lead to the root")
        if _natural(item, "leafIndex") >= _natural(self._evidence, "leafIndex"):
            raise EvidenceError("ORDER_VIOLATION", "the Provenance entered the log after the version that rests on it")
        if "opening" not in item and "salt" not in item and "content" not in item:
            return "the Provenance is in the log, before it"
        return self._opened_provenance(item)

    def _opened_provenance(self, item: dict[str, Any]) -> str:
        opening = _opened(_text(item, "opening"))
        _check_commitment(item, _text(item, "opening"))
        if opening.get("kind") != "provenance" or _text(opening, "channel") != self._trust.channel:
            raise EvidenceError("BINDING_MISMATCH", "the dependency is not a Provenance of this channel")
        names = {key: self._opening[key] for key in _NAMING_KEYS if key in self._opening}
        target = _sha256(b"hawsepipe/target/v1\x00" + _hash(self._evidence, "salt") + canonical(names)).hex()
        if target not in _texts(opening, "targets"):
            raise EvidenceError("DEPENDENCY_MISSING", "the Provenance does not name this version")
        if "content" in item:
            _check_content(item, opening)
            _check_identity(item, opening)
        return "the Provenance is in the log, before it, and names it"


class _Key(NamedTuple):
    name: str
    public: bytes
    key_id: bytes
    first: int = 0
    last: int | None = None


class _Trust(NamedTuple):
    channel: str
    log: tuple[_Key, ...]
    backends: dict[str, _Key]
    quorum: int


def _trust(raw: bytes) -> _Trust:
    try:
        document = _object(parse(raw, "the trust document"), _TRUST_KEYS, "the trust document")
        if document.get("format") != TRUST_FORMAT:
            raise EvidenceError("TRUST_INVALID", f"the format is not {TRUST_FORMAT}")
        log = []
        for item in _items(document, "log"):
            entry = _object(item, frozenset({"vkey", "fromSize", "toSize"}), "a log key")
            last = _natural(entry, "toSize") if entry.get("toSize") is not None else None
            log.append(_vkey(_text(entry, "vkey"), 0x01)._replace(first=_natural(entry, "fromSize"), last=last))
        backends = document.get("backends")
        if not isinstance(backends, dict) or not all(isinstance(entry, dict) for entry in backends.values()):
            raise EvidenceError("TRUST_INVALID", "there are no backends")
        known = {name: entry for name, entry in backends.items() if entry.get("type") == COSIGNATURE_TYPE}
        keys = {name: _vkey(_text(entry, "vkey"), 0x04) for name, entry in known.items()}
        quorum = _natural(document, "quorum") if "quorum" in document else 1
        return _Trust(_text(document, "channel"), tuple(log), keys, quorum)
    except EvidenceError as refusal:
        raise EvidenceError("TRUST_INVALID", refusal.reason) from refusal


def _vkey(text: str, algorithm: int) -> _Key:
    name, _, rest = text.partition("+")
    key_id, _, material = rest.partition("+")
    raw = _unbase64(material, "TRUST_INVALID")
    computed = _sha256(name.encode() + b"\n" + raw)[:4]
    if not name or len(raw) != 33 or raw[0] != algorithm or computed.hex() != key_id:
        raise EvidenceError("TRUST_INVALID", "a key of the trust document is malformed")
    return _Key(name, raw[1:], computed)


class _Note(NamedTuple):
    text: bytes
    origin: str
    size: int
    root: bytes
    signatures: tuple[tuple[str, bytes, bytes], ...]


def _note(note: str) -> _Note:
    """Read a checkpoint (https://c2sp.org/tlog-checkpoint); no signature is checked here."""
    head, gap, tail = note.rpartition("\n\n")
    lines = head.split("\n")
    framed = gap and tail.endswith("\n") and not any(char < " " and char != "\n" for char in note)
    if not framed or len(lines) < 3 or not lines[0] or _NATURAL.fullmatch(lines[1]) is None:
        raise EvidenceError("CHECKPOINT_INVALID", "the checkpoint is not a signed note")
    root = _unbase64(lines[2], "CHECKPOINT_INVALID")
    signatures = tuple(_signature(line, "CHECKPOINT_INVALID") for line in tail[:-1].split("\n"))
    return _Note((head + "\n").encode(), lines[0], int(lines[1]), root, signatures)


def _signature(line: str, code: str) -> tuple[str, bytes, bytes]:
    """Return name, key id and signature of a signature line (https://c2sp.org/signed-note)."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not parts[1]:
        raise EvidenceError(code, "a signature line is malformed")
    raw = _unbase64(parts[2], code)
    return parts[1], raw[:4], raw[4:]


def _cosigned(receipt: dict[str, Any], note: _Note, key: _Key) -> int:
    """Return when the key cosigned this checkpoint (https://c2sp.org/tlog-cosignature), in POSIX seconds."""
    told = (_text(receipt, "channel"), _natural(receipt, "size"), _hash(receipt, "root"))
    if told != (note.origin, note.size, note.root) or _text(receipt, "position") != str(note.size):
        raise EvidenceError("RECEIPT_INVALID", "the receipt is for another checkpoint")
    proof = _object(receipt.get("proof"), frozenset({"cosignature"}), "a proof")
    name, key_id, signature = _signature(_text(proof, "cosignature"), "RECEIPT_INVALID")
    if (name, key_id) != (key.name, key.key_id) or len(signature) != 72:
        raise EvidenceError("RECEIPT_INVALID", "the cosignature is not by the backend's key")
    seconds = int.from_bytes(signature[:8], "big")
    message = f"cosignature/v1\ntime {seconds}\n".encode() + note.text
    _check_signature(key, signature[8:], message, "RECEIPT_INVALID")
    return seconds


def _check_signature(key: _Key, signature: bytes, message: bytes, code: str) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise EvidenceError(code, "a signature does not fit what it signs") from error


def _opened(text: str) -> dict[str, Any]:
    """Read an opening; it has one form only, so that one commitment has one meaning."""
    opening = _object(parse(text.encode(), "the opening"), _OPENING_KEYS, "the opening")
    if canonical(opening) != text.encode() or opening.get("kind") not in ("resource", "consent", "provenance"):
        raise EvidenceError("MALFORMED", "the opening is not in canonical form or of a kind that is not known here")
    return opening


def _check_content(holder: dict[str, Any], opening: dict[str, Any]) -> None:
    if opening.get("operation") == "delete":
        if "content" in holder or "versionHash" in opening:
            raise EvidenceError("CONTENT_MISMATCH", "a delete has no content")
        return
    tree = _content(holder)
    static = {key: value for key, value in tree.items() if key not in ("meta", "text")}
    for key, part in (("versionHash", tree), ("staticHash", static)):
        if _sha256(canonical(part)) != _hash(opening, key):
            raise EvidenceError("CONTENT_MISMATCH", f"the content is not what was committed to ({key})")


def _content(holder: dict[str, Any]) -> dict[str, Any]:
    text = holder.get("content")
    tree = parse(text.encode(), "the content", "CONTENT_MISMATCH") if isinstance(text, str) else None
    if not isinstance(tree, dict):
        raise EvidenceError("CONTENT_MISMATCH", "there is no content, or it is not an object")
    return tree


def _check_identity(holder: dict[str, Any], opening: dict[str, Any]) -> None:
    """Check that content and opening speak of one resource, and that the kind fits the type."""
    kinds = {"Consent": ("consent",), "Provenance": ("provenance", "resource")}
    if opening["kind"] not in kinds.get(_text(opening, "type"), ("resource",)):
        raise EvidenceError("BINDING_MISMATCH", "the kind of the opening does not fit its type")
    if opening["type"] == "Patient" and opening["id"] not in _texts(opening, "patients"):
        raise EvidenceError("BINDING_MISMATCH", "a Patient is not about itself")
    if "content" not in holder:
        return
    tree = _content(holder)
    meta = tree.get("meta")
    told = meta.get("versionId") if isinstance(meta, dict) else None
    wanted = (opening["type"], opening["id"], str(_natural(opening, "version")))
    if (tree.get("resourceType"), tree.get("id"), told or wanted[2]) != wanted:
        raise EvidenceError("BINDING_MISMATCH", "the content is another resource or version than the opening says")


def _check_commitment(holder: dict[str, Any], opening: str) -> None:
    computed = _sha256(b"hawsepipe/commit/v1\x00" + _hash(holder, "salt") + opening.encode())
    if computed != _hash(holder, "commitment"):
        raise EvidenceError("LEAF_MISMATCH", "salt and opening do not open the commitment in the log")


def _root(holder: dict[str, Any], size: int) -> bytes:
    """Return the root that a holder's path leads to in a tree of this size (RFC 9162 section 2.1.3.2)."""
    index, path = _natural(holder, "leafIndex"), _texts(holder, "inclusionProof")
    if index >= size:
        raise EvidenceError("INCLUSION_INVALID", "the leaf is outside the tree that the checkpoint signs")
    place, last = index, size - 1
    value = _sha256(b"\x00" + _hash(holder, "commitment"))
    for text in path:
        if _HASH.fullmatch(text) is None or last == 0:
            raise EvidenceError("INCLUSION_INVALID", "no tree of this size has such a path")
        sibling = bytes.fromhex(text)
        if place & 1 or place == last:
            value = _sha256(b"\x01" + sibling + value)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            value = _sha256(b"\x01" + value + sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise EvidenceError("INCLUSION_INVALID", "no tree of this size has such a path")
    return value


class _Number(NamedTuple):
    """A JSON number as it was written: 1.00 is not 1."""

    lexeme: str


def parse(raw: bytes, what: str, code: str = "MALFORMED") -> Any:
    """Parse JSON strictly, numbers as lexemes. Raises EvidenceError (DUPLICATE_KEY, or the code given)."""
    try:
        if len(raw) > _LARGEST:
            raise ValueError
        text, depth = raw.decode("utf-8"), 0
        for mark in _MARKS.findall(text):  # no reliance on what the interpreter takes before its stack ends
            depth += (mark in "[{") - (mark in "]}")
            if depth > _DEEPEST:
                raise ValueError
        numbers = {"parse_float": _Number, "parse_int": _Number, "parse_constant": int}  # NaN is no int: ValueError
        tree = json.loads(text, object_pairs_hook=_unique, **numbers)
        canonical(tree)
    except (UnicodeError, ValueError, RecursionError) as error:
        raise EvidenceError(code, f"{what} is not JSON in UTF-8, or too large") from error
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
    if len(found) != len(pairs):
        raise EvidenceError("DUPLICATE_KEY", "an object has a key twice")
    return found


def _object(value: Any, known: frozenset[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= known:
        raise EvidenceError("MALFORMED", f"{what} is not an object, or has a key that is not known here")
    return value


def _text(holder: dict[str, Any], key: str) -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise EvidenceError("MALFORMED", f"{key} is not a string")
    return value


def _natural(holder: dict[str, Any], key: str) -> int:
    value = holder.get(key)
    if not isinstance(value, _Number) or _NATURAL.fullmatch(value.lexeme) is None:
        raise EvidenceError("MALFORMED", f"{key} is not a whole number")
    return int(value.lexeme)


def _hash(holder: dict[str, Any], key: str) -> bytes:
    value = _text(holder, key)
    if _HASH.fullmatch(value) is None:
        raise EvidenceError("MALFORMED", f"{key} is not 32 bytes in hex")
    return bytes.fromhex(value)


def _items(holder: dict[str, Any], key: str) -> list[Any]:
    value = holder.get(key)
    if not isinstance(value, list):
        raise EvidenceError("MALFORMED", f"{key} is not a list")
    return value


def _texts(holder: dict[str, Any], key: str) -> list[str]:
    if not all(isinstance(item, str) for item in _items(holder, key)):
        raise EvidenceError("MALFORMED", f"{key} is not a list of strings")
    return _items(holder, key)


def _unbase64(text: str, code: str) -> bytes:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
        if base64.b64encode(raw).decode() != text:
            raise ValueError
    except ValueError as error:
        raise EvidenceError(code, "a field is not base64 in the one form that its bytes have") from error
    return raw


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify two files and print the steps; returns the exit status."""
    parser = argparse.ArgumentParser(description="Verify the evidence of one version, offline.")
    parser.add_argument("evidence", type=Path)
    parser.add_argument("trust", type=Path)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    for name in ("type", "id", "patient"):
        parser.add_argument(f"--{name}", help=f"the {name} that it must be of")
    parser.add_argument("--version", type=int, help="the version number that it must be of")
    parser.add_argument("--quorum", type=int, help="receipts needed, instead of what the trust document says")
    parser.add_argument("--since", type=int, help="POSIX seconds that the cosignatures must not be older than")
    given = parser.parse_args(arguments)
    try:
        evidence, trust = given.evidence.read_bytes(), given.trust.read_bytes()
    except OSError as error:
        parser.error(f"a file cannot be read: {error.strerror}")
    findings = verify(evidence, trust, Asked(*(getattr(given, name) for name in Asked._fields)))
    told = {"proven": findings.ok, "code": findings.code, "steps": [step._asdict() for step in findings.steps]}
    sys.stdout.write(f"{json.dumps(told) if given.json else findings}\n")
    return 0 if findings.ok else 1


if __name__ == "__main__":
    sys.exit(main())
