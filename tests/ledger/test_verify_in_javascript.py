"""The verifiers in JavaScript and in Python come to the same outcome, step by step, on whatever they are given."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import hawsepipe_conformance
from hawsepipe import LedgerBackend, Meters
from hawsepipe.fhir import codec
from hawsepipe.ledger import verify
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded, trust_document
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.verify import Asked
from hawsepipe.model import Version
from hawsepipe.store.contract import Store
from hawsepipe_conformance.mutants import flipped, structural
from hawsepipe_conformance.servers import program

BROWSER = Path(hawsepipe_conformance.__file__).with_name("browser")
Case = tuple[bytes, bytes, dict[str, Any]]
Writer = Callable[..., Awaitable[tuple[Version, ...]]]

CONTENT = """{"resourceType": "Observation", "id": "o1", "status": "final",
 "code": {"text": "\\t \\"K\\" \\\\ \\ud83d\\ude00 é"},
 "subject": {"reference": "Patient/p1"}, "valueQuantity": {"value": 6.30, "unit": "mmol/L"},
 "component": [{"code": {"text": "𝒦"}, "valueQuantity": {"value": 1.0e-3}}]}"""


@pytest.fixture
async def proofs(
    store: Store, ledger: LedgerBackend, signer: Signer, channel: str, wall: Any, meters: Meters, write: Writer
) -> tuple[list[bytes], bytes]:
    """Evidence of several versions in a log of several checkpoints, with and without the Provenance; and the trust."""
    anchorer = Anchorer(store, {"log": ledger}, signer, channel, wall, meters, batch=4)
    observation = codec.decode(CONTENT.encode())
    made = list(
        await write(store, {"resourceType": "Patient", "id": "p1", "name": [{"family": "Åkesson"}]}, observation)
    )
    assert await anchorer.once()
    made += await write(store, observation | {"status": "amended"}, message=b"MSH|second")
    made += await write(store, delete=("Observation/o1",), message=b"MSH|third")
    assert await anchorer.once()
    evidence = Evidence(store, channel, ["log"])
    found = {version.commitment.hex(): version for version in made}
    documents = []
    for version in made:
        documents.append(encoded(await evidence.of(version)))
        named = json.loads(version.opening or b"{}").get("provenance")
        if named is not None:
            documents.append(encoded(await evidence.of(version, found[named])))
    documents += [encoded(await evidence.of(version, state=True, seen=3)) for version in made]
    documents += [encoded(await evidence.absent("Patient", f"p{number}")) for number in range(1, 5)]
    return documents, encoded(trust_document(channel, [LogKey(str(signer.vkey))], {"log": ledger}))


def in_python(case: Case) -> list[Any]:
    found = verify.verify(case[0], case[1], Asked(**case[2]))
    return [found.ok, found.code, [[step.number, step.result, step.code] for step in found.steps]]


def in_javascript(cases: Sequence[Case]) -> list[list[Any]]:
    given = "".join(
        json.dumps({"evidence": _base64(evidence), "trust": _base64(trust), "asked": asked}) + "\n"
        for evidence, trust, asked in cases
    )
    command = [program("node", "apt-get install nodejs"), str(BROWSER / "run.js")]
    told = subprocess.run(command, input=given, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in told.stdout.splitlines()]


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def agree(cases: Sequence[Case]) -> list[list[Any]]:
    """Assert that both come to the same, and return that."""
    theirs = in_javascript(cases)
    assert len(theirs) == len(cases)
    ours = [in_python(case) for case in cases]
    different = [(case, one, other) for case, one, other in zip(cases, ours, theirs, strict=True) if one != other]
    assert different == []
    return ours


async def test_both_prove_what_is_true(proofs: tuple[list[bytes], bytes]) -> None:
    documents, trust = proofs
    outcomes = agree([(document, trust, {}) for document in documents])
    assert len(outcomes) >= 16
    refused = [outcome[1] for outcome in outcomes if not outcome[0]]
    assert refused == ["STALE_VERSION"] * 2 + ["ABSENCE_INVALID"]  # o1 has three versions, and there is a p1


async def test_both_find_the_same_in_what_is_asked(proofs: tuple[list[bytes], bytes]) -> None:
    documents, trust = proofs
    wishes: list[dict[str, Any]] = [
        {"type": "Patient"},
        {"id": "p1"},
        {"version": 2},
        {"patient": "p1"},
        {"patient": "p2"},
        {"quorum": 0},
        {"quorum": 2},
        {"since": 1},
        {"since": 2_000_000_000},
        {"since": 1, "quorum": 0},
        {"latest": True},
        {"seen": f"3:{'0' * 64}"},
        {"seen": f"99:{'0' * 64}"},
        {"seen": "x"},
    ]
    codes = {outcome[1] for outcome in agree([(one, trust, wish) for one in documents for wish in wishes])}
    assert codes == {
        "", "BINDING_MISMATCH", "QUORUM_NOT_MET", "STALE_CHECKPOINT", "STALE_VERSION", "ABSENCE_INVALID",
        "STATE_MISSING", "FORK", "CONSISTENCY_MISSING", "SIZE_REGRESSION", "MALFORMED",
    }  # fmt: skip


def mutants(proofs: tuple[list[bytes], bytes], every: int) -> list[Case]:
    """Return damaged evidence and damaged trust; of each kind of damage one in `every`."""
    documents, trust = proofs
    cases: list[Case] = []
    for number, document in enumerate(documents):
        cases += [(mutant, trust, {}) for mutant in flipped(document, step=every, first=number)]
        cases += [(document, mutant, {}) for mutant in flipped(trust, step=every, first=number)]
        cases += [
            (json.dumps(mutant, ensure_ascii=bool(place % 2)).encode(), trust, {})
            for place, mutant in enumerate(structural(json.loads(document)))
            if place % every == number % every
        ]
    cases += [(documents[0], json.dumps(mutant).encode(), {}) for mutant in structural(json.loads(trust))]
    return cases


@pytest.mark.soak
async def test_both_find_the_same_in_every_mutant(proofs: tuple[list[bytes], bytes]) -> None:
    cases = mutants(proofs, 1)
    assert len(cases) > 20_000
    outcomes = agree(cases)
    proven = [case for case, outcome in zip(cases, outcomes, strict=True) if outcome[0]]
    # Those that show less of a Provenance; and whatever is said of consistency, which nobody has asked for.
    told = [case for case in proven if b'"consistency"' not in case[0]]
    assert len(told) < 100


async def test_both_find_the_same_in_mutants(proofs: tuple[list[bytes], bytes]) -> None:
    cases = mutants(proofs, 29)
    assert len(cases) > 1_000
    outcomes = agree(cases)
    assert {outcome[1] for outcome in outcomes} >= {
        "MALFORMED", "CONTENT_MISMATCH", "LEAF_MISMATCH", "LEAF_MISSING", "MISSING_OPENING", "INCLUSION_INVALID",
        "SIGNATURE_INVALID", "CHECKPOINT_INVALID", "TRUST_INVALID", "QUORUM_NOT_MET", "BINDING_MISMATCH",
    }  # fmt: skip


HOSTILE = (
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 201 + b"]" * 201,
    b"[" * 200 + b"]" * 200,
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b'"\\ud800"',
    b'{"\\ud800":1}',
    b'{"format":"hawsepipe/evidence/v1","version":' + b"9" * 10_000 + b"}",
    b'{"format":"a","format":"b"}',
    b'{"a":{"b":1,"b":2},',
    b"NaN",
    b"-Infinity",
    b"01",
    b"1.",
    b"+1",
    b'"\t"',
    b'"\\x"',
    b"'a'",
    b"[1,]",
    b'{"a":1,}',
    b"{a:1}",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"",
    b" ",
    b"\x0c{}",
    b"\xc2\xa0{}",
    b"null",
    b"{}{}",
)


async def test_both_find_the_same_in_hostile_json(proofs: tuple[list[bytes], bytes]) -> None:
    documents, trust = proofs
    cases: list[Case] = [(raw, trust, {}) for raw in HOSTILE]
    cases += [(documents[0], raw, {}) for raw in HOSTILE]
    document = json.loads(documents[0])
    cases += [
        (json.dumps(document | {"content": raw.decode("utf-8", "replace")}).encode(), trust, {}) for raw in HOSTILE
    ]
    assert not any(outcome[0] for outcome in agree(cases))


async def test_both_spell_a_document_alike(proofs: tuple[list[bytes], bytes]) -> None:
    # Another order of keys, other escapes and white space are the same content; another spelling of a number is not.
    documents, trust = proofs
    document = next(
        it
        for it in map(json.loads, documents)
        if it["type"] == "Observation" and '"value":6.30' in it.get("content", "")
    )
    content = document["content"]
    tree = json.loads(content, parse_float=lambda text: f"<{text}>")
    spellings = [
        json.dumps(other, indent=3, ensure_ascii=True).replace('"<', "").replace('>"', "")
        for other in (tree, dict(reversed(tree.items())))
    ]
    spellings += [content.replace("6.30", "6.3"), content.replace("6.30", "63e-1")]
    outcomes = agree([(json.dumps(document | {"content": text}).encode(), trust, {}) for text in spellings])
    assert [outcome[0] for outcome in outcomes] == [True, True, False, False]
