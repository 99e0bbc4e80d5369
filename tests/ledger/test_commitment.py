from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe import ConfigError
from hawsepipe.fhir.canonical import canonical
from hawsepipe.ledger import verify
from hawsepipe.ledger.commitment import Commitments, commitment, target
from hawsepipe.model import Draft, Operation

CHANNEL = "ledger.example/ward"
INSTANT = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def draft(
    kind: str = "Patient", content: bytes | None = b'{"resourceType":"Patient","id":"1"}', version: int = 1
) -> Draft:
    operation = Operation.DELETE if content is None else Operation.CREATE
    return Draft(kind, "1", version, operation, INSTANT, content, ("1",), None)


def test_an_opening_says_what_the_version_is(salts: Callable[[int], bytes]) -> None:
    content = b'{"resourceType":"Patient","id":"1","meta":{"versionId":"2"},"multipleBirthInteger":1}'
    before = sha256(b"before").digest()
    whole = Draft("Patient", "1", 2, Operation.UPDATE, INSTANT, content, ("1",), before)
    (seal,), none = Commitments(CHANNEL, salts).seal([whole], None, None, None)
    assert none is None
    assert json.loads(seal.opening) == {
        "kind": "resource",
        "channel": CHANNEL,
        "type": "Patient",
        "id": "1",
        "version": 2,
        "operation": "update",
        "patients": ["1"],
        "recorded": "2026-03-01T08:00:00.000000Z",
        "versionHash": sha256(canonical(content)).hexdigest(),
        "staticHash": sha256(b'{"id":"1","multipleBirthInteger":1,"resourceType":"Patient"}').hexdigest(),
        "previous": before.hex(),
    }
    assert seal.commitment == sha256(b"hawsepipe/commit/v1\0" + seal.salt + seal.opening).digest()
    assert canonical(seal.opening) == seal.opening


def test_versions_name_their_provenance_which_names_them_under_their_salts(salts: Callable[[int], bytes]) -> None:
    consent = draft("Consent", b'{"resourceType":"Consent","id":"1"}')
    whole = draft("Provenance", b'{"resourceType":"Provenance","id":"1"}')
    seals, provenance = Commitments(CHANNEL, salts).seal(
        [draft(), consent], whole, sha256(b"m").digest(), sha256(b"r").digest()
    )
    assert provenance is not None
    told = json.loads(provenance.opening)
    openings = [json.loads(seal.opening) for seal in seals]
    assert told["kind"] == "provenance"
    assert [opening["kind"] for opening in openings] == ["resource", "consent"]
    assert (told["source"], told["rules"]) == (sha256(b"m").hexdigest(), sha256(b"r").hexdigest())
    assert {opening["provenance"] for opening in openings} == {provenance.commitment.hex()}
    assert told["targets"] == [target(seal.salt, json.loads(seal.opening)) for seal in seals]
    assert not any(opening["versionHash"].encode() in provenance.opening for opening in openings)


def test_a_tombstone_is_sealed_without_content(salts: Callable[[int], bytes]) -> None:
    (seal,), _ = Commitments(CHANNEL, salts).seal([draft(content=None)], None, None, None)
    opening = json.loads(seal.opening)
    assert opening["operation"] == "delete"
    assert not {"versionHash", "staticHash"} & opening.keys()


def test_two_versions_of_one_resource_in_a_transaction_are_chained(salts: Callable[[int], bytes]) -> None:
    (first, second), _ = Commitments(CHANNEL, salts).seal([draft(), draft(version=2)], None, None, None)
    assert json.loads(second.opening)["previous"] == first.commitment.hex()


def test_the_same_content_twice_gives_commitments_that_cannot_be_compared(salts: Callable[[int], bytes]) -> None:
    maker = Commitments(CHANNEL, salts)
    (one,), _ = maker.seal([draft()], None, None, None)
    (two,), _ = maker.seal([draft()], None, None, None)
    assert one.opening == two.opening
    assert one.salt != two.salt
    assert one.commitment != two.commitment == commitment(two.salt, two.opening)


@pytest.mark.parametrize("channel", ["", "a b", "a+b", "a\n", "x" * 201, "öst"])
def test_a_channel_that_cannot_name_a_key_is_refused(channel: str, salts: Callable[[int], bytes]) -> None:
    with pytest.raises(ConfigError):
        Commitments(channel, salts)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]))
def test_the_verifier_makes_the_same_canonical_bytes_as_the_core(value: object, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=indent is None, indent=indent)
    content = text.encode("utf-8", "surrogatepass")
    assert verify.canonical(verify.parse(content, "it")) == canonical(content)


@pytest.mark.parametrize(
    "number", ["1.00", "1.0", "1", "-0", "-0.0", "1e5", "1E+05", "123456789012345678901234567890.10"]
)
def test_numbers_keep_their_spelling_in_both(number: str) -> None:
    content = f'{{"b":{number},"a":[{number}]}}'.encode()
    assert canonical(content) == f'{{"a":[{number}],"b":{number}}}'.encode()
    assert verify.canonical(verify.parse(content, "it")) == canonical(content)
