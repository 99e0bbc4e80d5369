from __future__ import annotations

import json
import string
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe import Cosigner, LedgerBackend
from hawsepipe.clock import Clock
from hawsepipe.errors import NotInLog
from hawsepipe.fhir import codec
from hawsepipe.ledger import merkle, verify
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded, trust_document
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.verify import Asked, Findings
from hawsepipe.meters import Meters
from hawsepipe.model import Version
from hawsepipe.store.contract import Store
from hawsepipe_conformance.mutants import flipped, structural
from hawsepipe_schemas import load

SOURCE = Path(verify.__file__).read_text(encoding="utf-8")
Document = dict[str, Any]
Writer = Callable[..., Awaitable[tuple[Version, ...]]]
Ledgers = Callable[..., AbstractAsyncContextManager[LedgerBackend]]


@dataclass
class Ward:
    """A store whose log is anchored, with what is needed to make and to forge evidence."""

    store: Store
    evidence: Evidence
    trust: Document
    versions: dict[str, Version]
    log_key: Ed25519PrivateKey

    async def of(self, reference: str, provenance: bool = False) -> Document:
        """Return the evidence of a version."""
        version = self.versions[reference]
        if not provenance:
            return await self.evidence.of(version)
        found = {item.commitment.hex(): item for item in self.versions.values()}
        named = json.loads(version.opening or b"{}")["provenance"]
        return await self.evidence.of(version, found[named])


def observation(value: str) -> Document:
    text = {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "2823-3"}]},
        "subject": {"reference": "Patient/p1"},
        "valueQuantity": {"value": 0, "unit": "mmol/L"},
    }
    return codec.decode(json.dumps(text).replace('"value": 0', f'"value": {value}').encode())


def patient(number: int) -> Document:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": "Åkesson"}]}


@pytest.fixture
async def ward(
    store: Store,
    ledger: LedgerBackend,
    signer: Signer,
    channel: str,
    wall: Clock,
    meters: Meters,
    write: Writer,
    log_key: Ed25519PrivateKey,
) -> Ward:
    anchorer = Anchorer(store, {"log": ledger}, signer, channel, wall, meters, batch=4)
    made = list(await write(store, patient(1), observation("6.30")))
    assert await anchorer.once()
    made += await write(store, observation("6.40"), message=b"MSH|second")
    made += await write(store, patient(2), message=None)
    made += await write(store, delete=("Patient/p2",), message=b"MSH|third")
    assert await anchorer.once()
    versions = {f"{one.type[:4]}/{one.id}/{one.version}": one for one in made}
    trust = trust_document(channel, [LogKey(str(signer.vkey))], {"log": ledger})
    return Ward(store, Evidence(store, channel, ["log"]), trust, versions, log_key)


def findings(document: Document, trust: Document, **asked: Any) -> Findings:
    return verify.verify(encoded(document), encoded(trust), Asked(**asked))


# -- what must be proven -----------------------------------------------------------------------------------------------


async def test_every_version_is_proven_and_its_documents_keep_their_schemas(ward: Ward) -> None:
    assert len(ward.versions) == 8
    jsonschema.validate(ward.trust, load("trust.schema.json"))
    for version in ward.versions.values():
        document = await ward.evidence.of(version)
        jsonschema.validate(document, load("evidence.schema.json"))
        patients = version.patients
        found = findings(
            document,
            ward.trust,
            type=version.type,
            id=version.id,
            version=version.version,
            patient=patients[0] if patients else None,
        )
        assert found.ok, str(found)
        assert found.code == ""
        assert "PROVEN" in str(found)


async def test_evidence_may_open_the_provenance_too(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1", provenance=True)
    jsonschema.validate(document, load("evidence.schema.json"))
    found = findings(document, ward.trust)
    assert found.ok, str(found)
    assert "names it" in found.steps[11].text
    assert "content" not in (await ward.of("Obse/o1/1"))["dependencies"][0]


async def test_a_version_that_is_not_in_the_log_has_no_evidence_yet(ward: Ward, write: Writer) -> None:
    made = await write(ward.store, patient(3))
    with pytest.raises(NotInLog) as raised:
        await ward.evidence.of(made[0])
    assert (raised.value.status, raised.value.retry_after) == (503, 1.0)


async def test_the_file_alone_verifies_without_anything_of_ours(ward: Ward, tmp_path: Path) -> None:
    script = tmp_path / "auditor.py"
    script.write_text(SOURCE, encoding="utf-8")
    document = await ward.of("Obse/o1/1")
    (tmp_path / "evidence.json").write_bytes(encoded(document))
    (tmp_path / "trust.json").write_bytes(encoded(ward.trust))

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        files = [str(tmp_path / "evidence.json"), str(tmp_path / "trust.json")]
        blocked = (
            "import sys, runpy; sys.modules['hawsepipe'] = None; sys.argv = sys.argv[1:];"
            " runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        return subprocess.run(
            [sys.executable, "-c", blocked, str(script), *files, *more], check=False, capture_output=True, text=True
        )

    good = run("--type", "Observation", "--patient", "p1")
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "PROVEN")
    bad = run("--id", "other", "--json")
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["code"] == "BINDING_MISMATCH"
    (tmp_path / "evidence.json").unlink()
    assert run().returncode == 2


# -- tampering, each with its code -------------------------------------------------------------------------------------


def resealed(document: Document, **opening: Any) -> Document:
    """Return the evidence with the opening changed and the commitment made to fit."""
    told = json.loads(document["opening"]) | opening
    text = json.dumps(told, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    commitment = sha256(b"hawsepipe/commit/v1\0" + bytes.fromhex(document["salt"]) + text.encode()).hexdigest()
    return document | {"opening": text, "commitment": commitment}


def content_hashes(content: str) -> dict[str, str]:
    tree = verify.parse(content.encode())
    still = {key: value for key, value in tree.items() if key not in ("meta", "text")}
    return {
        "versionHash": sha256(verify.canonical(tree)).hexdigest(),
        "staticHash": sha256(verify.canonical(still)).hexdigest(),
    }


async def test_any_changed_byte_of_the_content_is_a_content_mismatch(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    content = document["content"]
    for place in range(len(content)):
        other = "x" if content[place] != "x" else "y"
        changed = content[:place] + other + content[place + 1 :]
        found = findings(document | {"content": changed}, ward.trust)
        assert not found.ok
        # Making one key the same as another is the one change that has a code of its own.
        assert found.code in ("CONTENT_MISMATCH", "DUPLICATE_KEY"), str(found)


@pytest.mark.parametrize("spelling", ["6.3", "6.300", "63e-1", "6.30e0", "6.31"])
async def test_another_spelling_of_a_number_is_a_content_mismatch(ward: Ward, spelling: str) -> None:
    document = await ward.of("Obse/o1/1")
    assert '"value":6.30' in document["content"]
    changed = document["content"].replace('"value":6.30', f'"value":{spelling}')
    assert findings(document | {"content": changed}, ward.trust).code == "CONTENT_MISMATCH"


async def test_a_key_given_twice_is_a_duplicate_key(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    twice = document["content"].replace('"status":"final"', '"status":"final","status":"final"')
    assert findings(document | {"content": twice}, ward.trust).code == "DUPLICATE_KEY"
    raw = encoded(document).replace(b'"version":1', b'"version":1,"version":1', 1)
    assert verify.verify(raw, encoded(ward.trust)).code == "DUPLICATE_KEY"


async def test_a_modified_and_rehashed_row_is_a_leaf_mismatch(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    content = document["content"].replace("6.30", "5.30")
    forged = resealed(document, **content_hashes(content)) | {"content": content}
    assert findings(forged | {"commitment": document["commitment"]}, ward.trust).code == "LEAF_MISMATCH"


async def test_a_rewritten_leaf_does_not_fit_its_path(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    content = document["content"].replace("6.30", "5.30")
    forged = resealed(document, **content_hashes(content)) | {"content": content}
    assert findings(forged, ward.trust).code == "INCLUSION_INVALID"


async def test_a_rewritten_log_has_another_root_than_its_checkpoint(ward: Ward) -> None:
    forged = await rewritten(ward)
    assert findings(forged, ward.trust).code == "ROOT_MISMATCH"


async def test_history_rewritten_with_the_stolen_log_key_does_not_meet_the_quorum(ward: Ward, channel: str) -> None:
    forged = await rewritten(ward)
    signer = Signer(channel, ward.log_key)
    size = int(forged["checkpoint"].split("\n")[1])
    forged["checkpoint"] = signer.checkpoint(size, bytes.fromhex(forged["rootHash"])).note.decode()
    assert findings(forged, ward.trust).code == "QUORUM_NOT_MET"
    for receipt in forged["receipts"]:
        receipt["root"] = forged["rootHash"]
    assert findings(forged, ward.trust).code == "QUORUM_NOT_MET"
    assert findings(forged | {"receipts": []}, ward.trust).code == "QUORUM_NOT_MET"
    unwitnessed = findings(forged | {"receipts": []}, ward.trust, quorum=0)
    assert unwitnessed.ok, "this is what the receipts are for"


async def rewritten(ward: Ward) -> Document:
    """Return evidence from a log in which one leaf was replaced and everything above it made to fit."""
    document = await ward.of("Obse/o1/1")
    content = document["content"].replace("6.30", "5.30")
    forged = resealed(document, **content_hashes(content)) | {"content": content}
    size = int(document["checkpoint"].split("\n")[1])
    leaves = dict(await ward.store.nodes([(0, index) for index in range(size)]))
    leaves[0, document["leafIndex"]] = merkle.leaf_hash(bytes.fromhex(forged["commitment"]))
    frontier, nodes = merkle.Frontier(), dict(leaves)
    for index in range(size):
        nodes.update(frontier.append(leaves[0, index]))
    for holder in (forged, *forged["dependencies"]):
        path = merkle.proof(merkle.inclusion_spans(holder["leafIndex"], size), nodes)
        holder["inclusionProof"] = [value.hex() for value in path]
    return forged | {"rootHash": frontier.root().hex()}


async def test_a_deleted_opening_is_missing(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    for key in ("opening", "salt"):
        assert findings({**document, key: None}, ward.trust).code == "MISSING_OPENING"
        assert findings({k: v for k, v in document.items() if k != key}, ward.trust).code == "MISSING_OPENING"


async def test_a_deleted_leaf_is_missing(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    for key in ("leafIndex", "inclusionProof", "commitment"):
        assert findings({**document, key: None}, ward.trust).code == "LEAF_MISSING"


async def test_one_record_in_the_place_of_another_is_a_binding_mismatch(ward: Ward) -> None:
    other = await ward.of("Pati/p2/1")
    assert findings(other, ward.trust, type="Patient", id="p1").code == "BINDING_MISMATCH"
    assert findings(other, ward.trust, patient="p1").code == "BINDING_MISMATCH"
    assert findings(other | {"id": "p1"}, ward.trust).code == "BINDING_MISMATCH"
    assert findings(other, ward.trust | {"channel": "ledger.example/x"}).code == "BINDING_MISMATCH"


def committed(ward: Ward, signer: Signer, content: Document, **told: Any) -> Document:
    """Return evidence of a version that an untruthful log has committed to, whatever it is; it has no receipts."""
    text = json.dumps(content)
    opening = {
        "channel": ward.trust["channel"],
        "id": "p1",
        "kind": "resource",
        "operation": "create",
        "patients": ["p1"],
        "recorded": "2026-03-01T08:00:00.000000Z",
        "type": "Patient",
        "version": 1,
        **content_hashes(text),
        **told,
    }
    document = resealed({"opening": "{}", "salt": "00" * 32}, **opening)
    root = merkle.leaf_hash(bytes.fromhex(document["commitment"]))
    return document | {
        "format": "hawsepipe/evidence/v1",
        "type": opening["type"],
        "id": opening["id"],
        "version": opening["version"],
        "content": text,
        "leafIndex": 0,
        "inclusionProof": [],
        "rootHash": root.hex(),
        "checkpoint": signer.checkpoint(1, root).note.decode(),
        "receipts": [],
        "dependencies": [],
    }


async def test_content_and_opening_must_speak_of_the_same_thing(ward: Ward, signer: Signer) -> None:
    honest = {"resourceType": "Patient", "id": "p1", "meta": {"versionId": "1"}}
    assert findings(committed(ward, signer, honest), ward.trust, quorum=0).ok
    assert findings(committed(ward, signer, {"resourceType": "Patient", "id": "p1"}), ward.trust, quorum=0).ok
    lies = (
        committed(ward, signer, honest | {"id": "p2"}),
        committed(ward, signer, honest | {"resourceType": "Person"}),
        committed(ward, signer, honest | {"meta": {"versionId": "2"}}),
        committed(ward, signer, honest, patients=["p2"]),
        committed(ward, signer, honest, kind="consent"),
        committed(ward, signer, honest | {"resourceType": "Consent"}, type="Consent"),
    )
    for document in lies:
        assert findings(document, ward.trust, quorum=0).code == "BINDING_MISMATCH"


async def test_another_base64_form_of_a_signature_is_refused(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    text = document["checkpoint"]
    other = text[:-3] + alphabet[alphabet.index(text[-3]) | 1] + text[-2:]
    assert text.endswith("=\n")
    assert other != text
    assert findings(document | {"checkpoint": other}, ward.trust).code == "CHECKPOINT_INVALID"


async def test_another_version_in_the_place_of_the_one_asked_for_is_a_binding_mismatch(ward: Ward) -> None:
    old = await ward.of("Obse/o1/1")
    assert findings(old, ward.trust, type="Observation", id="o1", version=2).code == "BINDING_MISMATCH"
    assert findings(old | {"version": 2}, ward.trust).code == "BINDING_MISMATCH"


async def test_a_grafted_proof_is_invalid(ward: Ward) -> None:
    document, other = await ward.of("Obse/o1/1"), await ward.of("Obse/o1/2")
    path = document["inclusionProof"]
    forgeries: tuple[Document, ...] = (
        {"inclusionProof": other["inclusionProof"]},
        {"inclusionProof": path[:-1]},
        {"inclusionProof": [*path, path[0]]},
        {"inclusionProof": []},
        {"leafIndex": document["leafIndex"] ^ 1},
        {"leafIndex": 10**9},
    )
    for forged in forgeries:
        assert findings(document | forged, ward.trust).code == "INCLUSION_INVALID"


async def test_an_inner_node_offered_as_a_leaf_is_invalid(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    nodes = await ward.store.nodes([(1, 0)])
    forged = document | {"commitment": nodes[1, 0].hex(), "inclusionProof": document["inclusionProof"][1:]}
    found = findings(forged, ward.trust)
    assert found.code == "LEAF_MISMATCH"
    assert found.steps[4].code == "INCLUSION_INVALID"


async def test_a_proof_for_one_size_does_not_pass_for_another_signed_size(ward: Ward) -> None:
    document, later = await ward.of("Obse/o1/1"), await ward.of("Obse/o1/2")
    assert document["checkpoint"] != later["checkpoint"]
    assert findings(document | {"checkpoint": later["checkpoint"]}, ward.trust).code in (
        "INCLUSION_INVALID",
        "ROOT_MISMATCH",
    )


async def test_a_checkpoint_that_no_trusted_key_signed_is_refused(ward: Ward, channel: str) -> None:
    document = await ward.of("Obse/o1/1")
    size = int(document["checkpoint"].split("\n")[1])
    other = Signer(channel, Ed25519PrivateKey.generate())
    forged = other.checkpoint(size, bytes.fromhex(document["rootHash"])).note.decode()
    assert findings(document | {"checkpoint": forged}, ward.trust).code == "SIGNATURE_INVALID"


async def test_a_rotated_out_key_is_not_valid_at_that_size(ward: Ward) -> None:
    document = await ward.of("Obse/o1/2")
    size = int(document["checkpoint"].split("\n")[1])
    for span, ok in (((1, None), True), ((1, size), True), ((size, size), True), ((1, size - 1), False)):
        trust = ward.trust | {"log": [ward.trust["log"][0] | {"fromSize": span[0], "toSize": span[1]}]}
        found = findings(document, trust)
        assert found.ok is ok
        assert found.code == ("" if ok else "KEY_NOT_VALID_AT_SIZE")
    trust = ward.trust | {"log": [ward.trust["log"][0] | {"fromSize": size + 1}]}
    assert findings(document, trust).code == "KEY_NOT_VALID_AT_SIZE"


async def test_stripped_or_repeated_cosignatures_do_not_meet_the_quorum(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    receipt = document["receipts"][0]
    assert findings(document | {"receipts": []}, ward.trust).code == "QUORUM_NOT_MET"
    trust = ward.trust | {"backends": dict.fromkeys(("log", "again"), ward.trust["backends"]["log"])}
    twice = document | {"receipts": [receipt, receipt | {"backend": "again"}]}
    assert findings(twice, trust, quorum=2).code == "QUORUM_NOT_MET"
    assert findings(document | {"receipts": [receipt, receipt]}, ward.trust).code == "RECEIPT_INVALID"


async def test_a_cosignature_by_the_log_s_own_key_counts_for_nothing(ward: Ward, channel: str) -> None:
    document = await ward.of("Obse/o1/1")
    cosigner = Cosigner("ledger.example/other", ward.log_key)
    checkpoint = await ward.store.checkpoint_covering(channel, document["leafIndex"], None)
    assert checkpoint is not None
    line = cosigner.cosign(checkpoint, ward.versions["Obse/o1/1"].last_updated).rstrip("\n")
    receipt = document["receipts"][0] | {"proof": {"cosignature": line}}
    backends = {"log": {"type": "cosignature/v1", "vkey": str(cosigner.vkey)}}
    found = findings(document | {"receipts": [receipt]}, ward.trust | {"backends": backends})
    assert found.code == "QUORUM_NOT_MET"


async def test_a_receipt_of_a_ledger_that_is_not_known_is_told_and_not_counted(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    document["receipts"].append(document["receipts"][0] | {"backend": "chain", "proof": {"transaction": "0x1"}})
    found = findings(document, ward.trust)
    assert found.ok
    assert "chain: not checked" in found.steps[7].text
    strange = ward.trust | {"backends": {"log": {"type": "something/v9", "key": "x"}}}
    assert findings(document, strange).code == "QUORUM_NOT_MET"


async def test_an_old_checkpoint_is_stale_for_who_asks(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    at = int(ward.versions["Obse/o1/1"].last_updated.timestamp())
    assert findings(document, ward.trust, since=at).ok
    assert findings(document, ward.trust, since=at + 3600).code == "STALE_CHECKPOINT"


async def test_a_deleted_provenance_is_a_missing_dependency(ward: Ward) -> None:
    document, other = await ward.of("Obse/o1/1"), await ward.of("Obse/o1/2")
    assert document["dependencies"]
    assert findings(document | {"dependencies": []}, ward.trust).code == "DEPENDENCY_MISSING"
    swapped = document | {"dependencies": other["dependencies"]}
    assert findings(swapped, ward.trust).code == "DEPENDENCY_MISSING"


async def test_a_provenance_that_does_not_name_the_version_is_a_missing_dependency(ward: Ward, channel: str) -> None:
    document = await ward.of("Obse/o1/1", provenance=True)
    salt = sha256(b"other").hexdigest()
    found = findings(document | {"salt": salt}, ward.trust)
    assert {step.code for step in found.steps} >= {"LEAF_MISMATCH", "DEPENDENCY_MISSING"}


async def test_a_provenance_with_other_content_is_a_content_mismatch(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1", provenance=True)
    held = document["dependencies"][0]
    changed = held | {"content": held["content"].replace("feed", "feet", 1)}
    assert changed != held
    assert findings(document | {"dependencies": [changed]}, ward.trust).code == "CONTENT_MISMATCH"


async def test_a_provenance_after_its_target_is_an_order_violation(
    ward: Ward, signer: Signer, ledger: LedgerBackend, channel: str, wall: Clock
) -> None:
    document = await ward.of("Obse/o1/1")
    provenance = document["dependencies"][0]
    leaves = [merkle.leaf_hash(bytes.fromhex(one["commitment"])) for one in (document, provenance)]
    frontier, nodes = merkle.Frontier(), {(0, index): leaf for index, leaf in enumerate(leaves)}
    for leaf in leaves:
        nodes.update(frontier.append(leaf))
    checkpoint = signer.checkpoint(2, frontier.root())
    for index, holder in enumerate((document, provenance)):
        holder["leafIndex"] = index
        holder["inclusionProof"] = [leaves[1 - index].hex()]
    document |= {"rootHash": frontier.root().hex(), "checkpoint": checkpoint.note.decode(), "receipts": []}
    found = findings(document, ward.trust, quorum=0)
    assert found.code == "ORDER_VIOLATION"


# -- garbage -----------------------------------------------------------------------------------------------------------


async def test_no_flipped_bit_of_the_evidence_passes(ward: Ward) -> None:
    raw = encoded(await ward.of("Obse/o1/1"))
    trust = encoded(ward.trust)
    assert verify.verify(raw, trust).ok
    for mutant in flipped(raw):
        found = verify.verify(mutant, trust)
        assert not found.ok
        assert found.code


async def test_no_structural_mutant_of_the_evidence_passes(ward: Ward) -> None:
    trust = encoded(ward.trust)
    for document in (await ward.of("Obse/o1/1"), await ward.of("Obse/o1/1", provenance=True)):
        mutants = list(structural(document))
        assert len(mutants) > 200
        passing = [mutant for mutant in mutants if verify.verify(json.dumps(mutant).encode(), trust).ok]
        # To show less of the Provenance is no lie: its opening without its content is evidence as well.
        assert all("content" in document["dependencies"][0] for _ in passing)
        assert [set(mutant["dependencies"][0]) for mutant in passing] == [
            set(document["dependencies"][0]) - {"content"} for _ in passing
        ]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_garbage_gives_a_finding_and_no_exception(raw: bytes) -> None:
    for evidence, trust in ((raw, b"{}"), (raw, raw), (b"{}", raw)):
        found = verify.verify(evidence, trust)
        assert not found.ok
        assert found.code


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b'{"format":"hawsepipe/evidence/v1","version":' + b"9" * 100_000 + b"}",
        b"NaN",
        b"",
    ],
    ids=range(9),
)
async def test_hostile_json_gives_a_finding_and_no_exception(ward: Ward, raw: bytes) -> None:
    # The verifier must hold whatever the recursion limit of the process is.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert verify.verify(raw, encoded(ward.trust)).code in ("MALFORMED", "MISSING_OPENING")
    finally:
        sys.setrecursionlimit(limit)
    assert verify.verify(raw, raw).code == "TRUST_INVALID"
    document = await ward.of("Obse/o1/1")
    found = findings(document | {"content": raw.decode("utf-8", "replace")}, ward.trust)
    assert found.code == "CONTENT_MISMATCH"


async def test_a_trust_document_with_a_wrong_key_is_refused(ward: Ward) -> None:
    document = await ward.of("Obse/o1/1")
    wrongs: tuple[Document, ...] = (
        {"log": []},
        {"log": [{"vkey": "x", "fromSize": 1, "toSize": None}]},
        {"log": [{"vkey": ward.trust["backends"]["log"]["vkey"], "fromSize": 1, "toSize": None}]},
        {"backends": {"log": {"type": "cosignature/v1", "vkey": ward.trust["log"][0]["vkey"]}}},
        {"backends": []},
        {"format": "other"},
        {"more": 1},
    )
    for wrong in wrongs:
        found = findings(document, ward.trust | wrong)
        assert not found.ok
        assert found.code in ("TRUST_INVALID", "SIGNATURE_INVALID")


def test_a_step_that_nobody_thought_of_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(verify, "parse", broken)
    assert verify.verify(b"{}", b"{}").code == "MALFORMED"
