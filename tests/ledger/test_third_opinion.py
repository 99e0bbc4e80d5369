"""Inclusion proofs as somebody else's implementation of RFC 9162 sees them (@transmute/rfc9162, from npm)."""

from __future__ import annotations

import json
import random
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.ledger import merkle, verify
from hawsepipe.ledger.verify import EvidenceError
from hawsepipe_conformance.servers import npm_packages, program

FOLDER = Path(__file__).resolve().parents[2] / "conformance" / "node"
Case = dict[str, Any]


def proofs(count: int, chance: random.Random) -> list[Case]:
    """Return proofs of leaves in trees of many sizes."""
    data = [sha256(b"%d" % number).digest() for number in range(300)]
    frontier, nodes = merkle.Frontier(), dict[merkle.Coordinate, bytes]()
    for index, item in enumerate(data):
        nodes[0, index] = merkle.leaf_hash(item)
        nodes.update(frontier.append(merkle.leaf_hash(item)))
    found = []
    for _ in range(count):
        size = chance.randint(1, len(data))
        index = chance.randrange(size)
        path = merkle.proof(merkle.inclusion_spans(index, size), nodes)
        root = merkle.root_of(size, nodes)
        told = {"path": [value.hex() for value in path], "root": root.hex(), "data": data[index].hex()}
        found.append({"index": index, "size": size, "leaf": nodes[0, index].hex(), **told})
    return found


def mutant(case: Case, chance: random.Random) -> Case:
    """Return a proof with one thing changed: a bit of a hash, a hash too many or too few, another place or size."""
    path = list(case["path"])
    match chance.randrange(6):
        case 0 if path:
            at = chance.randrange(len(path))
            path[at] = flipped(path[at], chance)
        case 1:
            path.insert(chance.randint(0, len(path)), sha256(b"x").hexdigest())
        case 2 if path:
            del path[chance.randrange(len(path))]
        case 3:
            return case | {"root": flipped(case["root"], chance)}
        case 4:
            data = flipped(case["data"], chance)
            return case | {"data": data, "leaf": merkle.leaf_hash(bytes.fromhex(data)).hex()}
        case _:
            return case | {"index": case["index"] ^ (1 << chance.randrange(9))}
    return case | {"path": path}


def flipped(text: str, chance: random.Random) -> str:
    raw = bytearray.fromhex(text)
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return raw.hex()


def ours(case: Case) -> bool:
    """Say what the verifier for auditors makes of it."""
    holder = verify._Fields(commitment=case["data"], inclusionProof=case["path"])
    try:
        return holder.root(case["index"], case["size"]).hex() == str(case["root"])
    except EvidenceError:
        return False


def theirs(cases: list[Case]) -> list[bool]:
    """Say what the other implementation makes of them."""
    packages = npm_packages(FOLDER)
    script, package = FOLDER / "rfc9162.js", packages / "@transmute/rfc9162"
    command = [program("node", "apt-get install nodejs"), str(script), str(package)]
    given = "".join(json.dumps(case) + "\n" for case in cases)
    told = subprocess.run(command, input=given, check=True, capture_output=True, text=True)
    return [line == "true" for line in told.stdout.splitlines()]


def compared(count: int) -> None:
    chance = random.Random(7)
    good = proofs(count, chance)
    assert all(map(ours, good))
    assert all(theirs(good))
    bad = [mutant(case, chance) for case in good]
    different = [case for case, one, other in zip(bad, map(ours, bad), theirs(bad), strict=True) if one != other]
    # RFC 9162 section 2.1.3.2 refuses an index that is the size; theirs asks only whether it is larger.
    assert all(case["index"] == case["size"] and not ours(case) for case in different)
    assert len(different) <= count / 1000 + 1
    assert not any(map(ours, bad))


def test_a_third_party_takes_and_refuses_the_same_proofs() -> None:
    compared(300)


@pytest.mark.soak
def test_a_third_party_takes_and_refuses_the_same_of_very_many_proofs() -> None:
    compared(20_000)
