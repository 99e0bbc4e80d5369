"""Proofs of what is the latest, of what never was, and that the log has only grown; and policies of witnesses."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe import Cosigner, LedgerBackend, Meters
from hawsepipe.clock import Clock
from hawsepipe.errors import NotInLog, Tampered
from hawsepipe.ledger import merkle, verify
from hawsepipe.ledger.anchorer import Anchorer
from hawsepipe.ledger.evidence import Evidence, LogKey, encoded, trust_document
from hawsepipe.ledger.note import Signer
from hawsepipe.ledger.verify import Asked, Findings
from hawsepipe.model import Version
from hawsepipe.store.contract import Store
from hawsepipe_schemas import load

Document = dict[str, Any]
Writer = Callable[..., Awaitable[tuple[Version, ...]]]


class Ward:
    """A store whose log is anchored after each of three batches."""

    def __init__(self, store: Store, evidence: Evidence, trust: Document, made: list[Version], anchorer: Anchorer):
        self.store, self.evidence, self.trust, self.made, self.anchorer = store, evidence, trust, made, anchorer

    def version(self, reference: str) -> Version:
        """Return a version by `Type/id/number`."""
        return next(it for it in self.made if f"{it.type}/{it.id}/{it.version}" == reference)


def patient(number: int, family: str = "Åkesson") -> Document:
    return {"resourceType": "Patient", "id": f"p{number}", "name": [{"family": family}]}


@pytest.fixture
async def ward(
    store: Store, ledger: LedgerBackend, signer: Signer, channel: str, wall: Clock, meters: Meters, write: Writer
) -> Ward:
    anchorer = Anchorer(store, {"log": ledger}, signer, channel, wall, meters)
    made = list(await write(store, *(patient(number) for number in range(40))))
    assert await anchorer.once()
    made += await write(store, patient(1, "Berg"), message=b"MSH|second")
    made += await write(store, delete=("Patient/p2",), message=b"MSH|third")
    assert await anchorer.once()
    made += await write(store, patient(50), message=b"MSH|fourth")
    assert await anchorer.once()
    trust = trust_document(channel, [LogKey(str(signer.vkey))], {"log": ledger})
    return Ward(store, Evidence(store, channel, ["log"]), trust, made, anchorer)


def findings(document: Document, trust: Document, **asked: Any) -> Findings:
    return verify.verify(encoded(document), encoded(trust), Asked(**asked))


async def test_the_latest_version_is_proven_to_be_it_and_an_older_one_is_stale(ward: Ward) -> None:
    for reference, code in {
        "Patient/p0/1": "",
        "Patient/p1/1": "STALE_VERSION",
        "Patient/p1/2": "",
        "Patient/p2/1": "STALE_VERSION",
        "Patient/p2/2": "",  # that it is deleted is the latest of it
        "Patient/p50/1": "",
    }.items():
        document = await ward.evidence.of(ward.version(reference), state=True)
        jsonschema.validate(document, load("evidence.schema.json"))
        found = findings(document, ward.trust, latest=True)
        assert (found.ok, found.code) == (not code, code), str(found)
        assert found.steps[10].code == code


async def test_evidence_without_the_state_says_nothing_of_it_and_is_refused_where_it_is_asked(ward: Ward) -> None:
    document = await ward.evidence.of(ward.version("Patient/p1/1"))
    assert "state" not in document
    assert findings(document, ward.trust).ok
    found = findings(document, ward.trust, latest=True)
    assert (found.ok, found.code) == (False, "STATE_MISSING")


async def test_what_never_was_is_proven_and_what_is_or_was_is_not_absent(ward: Ward) -> None:
    for number in range(100, 140):
        document = await ward.evidence.absent("Patient", f"p{number}")
        jsonschema.validate(document, load("evidence.schema.json"))
        found = findings(document, ward.trust, type="Patient", id=f"p{number}")
        assert found.ok, str(found)
        assert found.steps[10].text == "there never was such a resource"
        assert findings(document, ward.trust, id="other").code == "BINDING_MISMATCH"
        # A way that ends at nothing says so of every place below, and of no other.
        assert findings(document | {"rootHash": "0" * 64}, ward.trust).code == "INCLUSION_INVALID"
        assert findings(document | {"id": "p0"}, ward.trust).code in ("STATE_INVALID", "ABSENCE_INVALID")
    for id_ in ("p0", "p2"):
        found = findings(await ward.evidence.absent("Patient", id_), ward.trust)
        assert (found.ok, found.code) == (False, "ABSENCE_INVALID")


async def test_absence_of_a_hidden_resource_cannot_be_made_up(ward: Ward) -> None:
    honest = await ward.evidence.absent("Patient", "p0")
    state = honest["state"]
    # Whoever serves it cuts the way short, says that nothing is there, or shows the way of another place.
    shorter = [
        state | {"end": None},
        state | {"end": None, "levels": state["levels"][:-1]},
        state | {"end": None, "levels": "", "siblings": ""},
        (await ward.evidence.absent("Patient", "p100"))["state"],
        (await ward.evidence.absent("Patient", "p7"))["state"],
        state | {"end": state["end"] | {"place": sha256(b"Patient/p7").hexdigest()}},
    ]
    for forged in shorter:
        found = findings(honest | {"state": forged}, ward.trust)
        assert not found.ok
        assert found.code == "STATE_INVALID", str(found)


async def test_a_state_of_another_time_or_place_in_the_log_is_refused(ward: Ward) -> None:
    document = await ward.evidence.of(ward.version("Patient/p1/2"), state=True)
    state = document["state"]
    head = await ward.store.checkpoint(ward.trust["channel"])
    assert head is not None
    older = [leaf for size in range(1, head.size) if (leaf := await ward.store.state_leaf(size)) is not None][0]  # noqa: RUF015  no asynchronous next
    opened = {"opening": older.opening.decode(), "salt": older.salt.hex(), "commitment": older.commitment.hex()}
    assert findings(document | {"state": state | opened}, ward.trust).code == "STATE_INVALID"
    # The right size on it, but it is no leaf of the log then.
    told = json.loads(older.opening) | {"size": head.size}
    text = json.dumps(told, separators=(",", ":"), sort_keys=True)
    commitment = sha256(b"hawsepipe/commit/v1\0" + older.salt + text.encode()).hexdigest()
    forged = state | {"opening": text, "salt": older.salt.hex(), "commitment": commitment}
    assert findings(document | {"state": forged}, ward.trust).code == "INCLUSION_INVALID"
    assert findings(document | {"state": forged | {"salt": "0" * 64}}, ward.trust).code == "LEAF_MISMATCH"
    assert findings(document | {"state": state | {"siblings": state["siblings"][:-4]}}, ward.trust).code in (
        "STATE_INVALID",
    )


async def test_a_way_is_shown_at_the_newest_state_that_a_ledger_holds(ward: Ward, write: Writer) -> None:
    made = await write(ward.store, patient(1, "Ceder"))
    offline = Anchorer(ward.store, {}, ward.anchorer._signer, ward.trust["channel"], ward.anchorer._clock, Meters())
    assert await offline.once()
    document = await ward.evidence.of(ward.version("Patient/p1/2"), state=True)
    assert findings(document, ward.trust, latest=True).ok, "as of what the ledger holds it was"
    assert await ward.anchorer.once()
    document = await ward.evidence.of(ward.version("Patient/p1/2"), state=True)
    assert findings(document, ward.trust, latest=True).code == "STALE_VERSION"
    assert findings(await ward.evidence.of(made[0], state=True), ward.trust, latest=True).ok


async def test_a_log_without_a_state_yet_says_when_to_come_back(ward: Ward) -> None:
    class Older:
        """The store as an older program has left it."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ward.store, name)

        async def state_leaf(self, size: int) -> None:
            return None

    with pytest.raises(NotInLog):
        await Evidence(Older(), ward.trust["channel"], ["log"]).of(ward.made[0], state=True)


async def test_a_map_that_was_changed_is_an_alarm(ward: Ward) -> None:
    class Changed:
        """The store, whose map has lost a page."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ward.store, name)

        async def pages(self, places: Any, size: int | None) -> dict[str, bytes]:
            found = dict(await ward.store.pages(places, size))
            return {path: page for path, page in found.items() if not path}

    evidence = Evidence(Changed(), ward.trust["channel"], ["log"])
    for reference in ("Patient/p0/1", "Patient/p1/2"):
        with pytest.raises(Tampered, match="STATE_INVALID"):
            await evidence.of(ward.version(reference), state=True)


# -- consistency -------------------------------------------------------------------------------------------------------


async def test_a_log_that_only_grew_continues_what_was_seen_and_another_one_does_not(ward: Ward) -> None:
    version = ward.version("Patient/p50/1")
    head = await ward.store.checkpoint(ward.trust["channel"])
    assert head is not None
    for size in range(1, head.size + 1):
        nodes = await ward.store.nodes(merkle.peaks(size))
        root = merkle.root_of(size, nodes).hex()
        document = await ward.evidence.of(version, seen=size)
        jsonschema.validate(document, load("evidence.schema.json"))
        found = findings(document, ward.trust, seen=f"{size}:{root}")
        assert found.ok, (size, str(found))
        assert findings(document, ward.trust, seen=f"{size}:{'0' * 64}").code == "FORK"
        if size < head.size:
            bare = {key: value for key, value in document.items() if key != "consistency"}
            assert findings(bare, ward.trust, seen=f"{size}:{root}").code == "CONSISTENCY_MISSING"
            cut = document | {"consistency": document["consistency"][:-1]}
            assert findings(cut, ward.trust, seen=f"{size}:{root}").code == "FORK"
    document = await ward.evidence.of(version)
    assert findings(document, ward.trust, seen=f"{head.size + 1}:{'0' * 64}").code == "SIZE_REGRESSION"


# -- policies of witnesses ---------------------------------------------------------------------------------------------


def witness(name: str) -> Cosigner:
    return Cosigner(name, Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest()))


async def test_witnesses_in_the_note_count_as_the_policy_says(ward: Ward, channel: str, wall: Clock) -> None:
    document = await ward.evidence.of(ward.version("Patient/p50/1"))
    head = await ward.store.checkpoint(channel)
    assert head is not None
    document["receipts"] = []
    people = {name: witness(f"w.example/{name}") for name in "abcd"}
    lines = {name: cosigner.cosign(head, wall()) for name, cosigner in people.items()}
    trust = ward.trust | {
        "witnesses": {name: str(cosigner.vkey) for name, cosigner in people.items()},
        "groups": {
            "hospitals": {"threshold": 2, "members": ["a", "b", "c"]},
            "all": {"threshold": 2, "members": ["hospitals", "d"]},
        },
        "quorum": "all",
    }
    jsonschema.validate(trust, load("trust.schema.json"))
    for names, met in {"": 0, "d": 0, "ab": 0, "abc": 0, "ad": 0, "abd": 1, "bcd": 1, "abcd": 1}.items():
        note = head.note.decode() + "".join(lines[name] for name in names)
        found = findings(document | {"checkpoint": note}, trust)
        assert (found.ok, found.code) == (bool(met), "" if met else "QUORUM_NOT_MET"), (names, str(found))
    whole = head.note.decode() + "".join(lines[name] for name in "abd")
    assert findings(document | {"checkpoint": whole + lines["a"]}, trust).code == "RECEIPT_INVALID"
    repeated = head.note.decode() + lines["a"] * 2 + lines["d"]
    assert findings(document | {"checkpoint": repeated}, trust).code == "QUORUM_NOT_MET"
    stranger = witness("w.example/stranger").cosign(head, wall())
    assert findings(document | {"checkpoint": whole + stranger}, trust).ok, "who is not known is passed over"
    raw = bytearray(base64.b64decode(lines["b"].split(" ")[2]))
    raw[-1] ^= 1
    forged = f"— w.example/b {base64.b64encode(bytes(raw)).decode()}\n"
    found = findings(document | {"checkpoint": head.note.decode() + lines["a"] + forged + lines["d"]}, trust)
    assert found.code == "QUORUM_NOT_MET"


async def test_a_policy_that_means_nothing_is_refused(ward: Ward) -> None:
    document = await ward.evidence.of(ward.made[0])
    changes: list[Document] = [
        {"quorum": "nobody"},
        {"quorum": []},
        {"groups": {"g": {"threshold": 0, "members": ["a"]}}},
        {"groups": {"g": {"threshold": 1, "members": ["h"]}, "h": {"threshold": 1, "members": ["a"]}}},
        {"groups": {"a": {"threshold": 1, "members": ["log"]}}},
        {"groups": {"g": {"threshold": 1, "members": ["g"]}}},
        {"witnesses": {"log": "x"}},
        {"witnesses": {"a": 7}},
        {"witnesses": []},
    ]
    for change in changes:
        trust = ward.trust | {"witnesses": {"a": str(witness("w.example/a").vkey)}} | change
        assert findings(document, trust).code == "TRUST_INVALID", change
