"""What is taken out of resources, what stands there instead, and what is refused."""

from __future__ import annotations

import base64
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import codec, contents, definitions
from hawsepipe.fhir.validate import Validator
from hawsepipe.model import Resource

BOUND = 1000
CONTENT = bytes(range(256)) * 8
DATA = base64.b64encode(CONTENT).decode()
DIGEST = sha256(CONTENT).hexdigest()


@pytest.fixture
def taking(tmp_path: Path) -> Taking:
    return Taking(DiskContents(tmp_path / "contents"), bytes(32), BOUND)


def document(**attachment: Any) -> Resource:
    return {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": {"contentType": "application/pdf", **attachment}}],
    }


def attachment(resource: Resource) -> Any:
    return resource["content"][0]["attachment"]


def test_an_attachment_over_the_bound_is_named_by_its_digest(taking: Taking) -> None:
    sent = document(data=DATA, title="Report")
    taken = taking.taken(sent, "DocumentReference/d")
    found = attachment(taken)
    assert "data" not in found
    assert found["size"] == len(CONTENT)
    assert base64.b64decode(found["hash"]) == sha1(CONTENT).digest()
    assert found["url"] == f"DocumentReference/d/$content?sha256={DIGEST}"
    assert found["title"] == "Report"
    held = contents.held_in(found)
    assert held is not None
    assert taking.proved(held)
    assert b"".join(taking.contents.read(held.sha256)) == CONTENT
    assert contents.named(codec.encode(taken)) == {DIGEST}
    assert attachment(sent) == {"contentType": "application/pdf", "data": DATA, "title": "Report"}
    assert not [issue for issue in Validator(definitions.load()).check(taken) if issue.severity in ("error", "fatal")]


def test_the_same_content_makes_the_same_resource(taking: Taking) -> None:
    first = taking.taken(document(data=DATA), "DocumentReference/d")
    assert taking.taken(document(data=DATA), "DocumentReference/d") == first
    assert taking.taken(first, "DocumentReference/d") == first
    both = document(**{**attachment(first), "data": DATA})
    assert taking.taken(both, "DocumentReference/d") == first


def test_what_is_within_the_bound_stays(taking: Taking) -> None:
    small = document(data=base64.b64encode(bytes(BOUND)).decode())
    assert taking.taken(small, "DocumentReference/d") is small


def test_a_small_content_in_the_place_of_a_large_one_takes_the_mark_away(taking: Taking) -> None:
    large = attachment(taking.taken(document(data=DATA), "DocumentReference/d"))
    small = taking.taken(document(data="AAAA", _data=large["_data"]), "DocumentReference/d")
    assert attachment(small) == {"contentType": "application/pdf", "data": "AAAA"}


def test_a_binary_and_the_attachment_of_an_extension_are_taken_too(taking: Taking) -> None:
    binary = taking.taken({"resourceType": "Binary", "id": "b", "contentType": "a/b", "data": DATA}, "Binary/b")
    assert set(binary) == {"resourceType", "id", "contentType", "_data"}
    extension = {"url": "urn:x", "valueAttachment": {"data": DATA}}
    observation = taking.taken({"resourceType": "Observation", "extension": [extension]}, "Observation/o")
    assert "_data" in observation["extension"][0]["valueAttachment"]


@pytest.mark.parametrize(
    "element",
    [
        {"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 " * 2000},
        {"type": [{"code": "1"}], "when": "2026-03-01T09:00:00Z", "who": {"reference": "Practitioner/1"}, "data": DATA},
    ],
)
def test_data_of_other_types_stays(taking: Taking, element: Resource) -> None:
    observation: Resource = {"resourceType": "Observation", "extension": [{"url": "urn:x", "valueAny": element}]}
    assert taking.taken(observation, "Observation/o") is observation


@pytest.mark.parametrize("data", ["%" * 4000, "AAAA" * 1000 + "A", "AA==" * 1000])
def test_what_is_not_base64_is_left_to_the_validation(taking: Taking, data: str) -> None:
    assert attachment(taking.taken(document(data=data), "DocumentReference/d"))["data"] == data


def test_base64_in_lines_is_the_same_content(taking: Taking) -> None:
    lines = "\r\n".join(DATA[first : first + 76] for first in range(0, len(DATA), 76))
    assert taking.taken(document(data=lines), "DocumentReference/d") == taking.taken(
        document(data=DATA), "DocumentReference/d"
    )


@pytest.mark.parametrize("told", [{"size": 1}, {"hash": "AAAA"}])
def test_a_size_or_hash_of_another_content_is_refused(taking: Taking, told: Resource) -> None:
    with pytest.raises(InvalidResource):
        taking.taken(document(data=DATA, **told), "DocumentReference/d")
    right = {"size": len(CONTENT), "hash": base64.b64encode(sha1(CONTENT).digest()).decode(), "url": "https://a.b/c"}
    taken = attachment(taking.taken(document(data=DATA, **right), "DocumentReference/d"))
    assert {name: taken[name] for name in right} == right


def test_a_content_that_is_named_without_proof_is_refused(taking: Taking) -> None:
    taken = attachment(taking.taken(document(data=DATA), "DocumentReference/d"))
    for place, value in ((0, "0" * 64), (1, 7), (2, "0" * 32), (2, None)):
        mark = taken["_data"]["extension"][0]
        parts = [dict(part) for part in mark["extension"]]
        (key,) = set(parts[place]) - {"url"}
        parts[place][key] = value
        forged = document(**{**taken, "_data": {"extension": [{**mark, "extension": parts}]}})
        with pytest.raises(InvalidResource):
            taking.taken(forged, "DocumentReference/d")
