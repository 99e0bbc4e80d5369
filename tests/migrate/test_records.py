"""Records: every stretch of a document that holds one, byte for byte, and nothing is dropped."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from hawsepipe.migrate import records
from hawsepipe.model import Piece
from hawsepipe_hl7v2 import batches

from .conftest import adt, observation, patient


def split(chunks: Iterable[bytes]) -> Iterator[Piece]:
    for part in batches.split(chunks):
        if isinstance(part, batches.Part):
            yield Piece(part.offset, part.body)


def written(tmp_path: Path, body: bytes) -> Path:
    (tmp_path / "file").write_bytes(body)
    return tmp_path / "file"


def test_lines_keep_their_bytes_and_blank_ones_are_none(tmp_path: Path) -> None:
    lines = [json.dumps(patient("1")).encode(), b"", b"  ", json.dumps(observation("2", "1")).encode(), b'{"resourceT']
    body = b"\n".join(lines)
    found = list(records.resources(written(tmp_path, body)))
    assert [(it.line, it.type, it.id) for it in found[:2]] == [(1, "Patient", "1"), (4, "Observation", "2")]
    assert [body[it.offset : it.offset + it.length] for it in found] == [lines[0], lines[3], lines[4]]
    assert [it.digest for it in found] == [sha256(lines[number]).digest() for number in (0, 3, 4)]
    assert (found[2].line, found[2].type) == (5, records.UNREADABLE)


def test_a_byte_order_mark_and_a_pretty_resource_are_read(tmp_path: Path) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(patient("1"), indent=2).encode()
    (found,) = records.resources(written(tmp_path, body))
    assert (found.type, found.id, found.offset) == ("Patient", "1", 3)
    assert json.loads(body[found.offset : found.offset + found.length])["id"] == "1"


def test_entries_of_a_bundle_are_records_with_their_addresses(tmp_path: Path) -> None:
    one, two = (
        {"fullUrl": "urn:uuid:8d2f1f5e-0000-4000-8000-000000000001", "resource": {"resourceType": "Patient"}},
        {
            "fullUrl": "https://old.example/fhir/Observation/9",
            "resource": observation("9", "1"),
        },
    )
    gone = {"request": {"method": "DELETE", "url": "Patient/7"}, "response": {"lastModified": "2010-01-01T00:00:00Z"}}
    body = json.dumps({"resourceType": "Bundle", "type": "history", "entry": [one, two, gone]}, indent=1).encode()
    found = list(records.resources(written(tmp_path, body)))
    assert [(it.type, it.id) for it in found] == [
        ("Patient", "8d2f1f5e-0000-4000-8000-000000000001"),
        ("Observation", "9"),
        ("Patient", "7"),
    ]
    assert [json.loads(body[it.offset : it.offset + it.length]) for it in found] == [one, two, gone]
    assert [body[: it.offset].count(b"\n") + 1 for it in found] == [it.line for it in found]
    assert found[2].order.startswith("2010-01-01T00:00:00")


def test_a_line_may_be_a_bundle(tmp_path: Path) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": patient("1")}, {"resource": patient("2")}],
    }
    body = json.dumps(bundle).encode() + b"\n" + json.dumps(patient("3")).encode()
    assert [(it.line, it.id) for it in records.resources(written(tmp_path, body))] == [(1, "1"), (1, "2"), (2, "3")]


def test_versions_sort_by_their_time_then_by_their_number() -> None:
    told = [
        ("3", "2010-01-01T00:00:00+02:00"),
        ("1", "2009-12-31T21:00:00Z"),
        ("9", "2010-01-01T00:00:00Z"),
        ("10", "2010-01-01T00:00:00Z"),
    ]
    orders = [
        next(records._record(json.dumps(patient("1", version=v, updated=u)).encode(), 0, 1, 0)).order for v, u in told
    ]
    assert sorted(range(4), key=lambda it: orders[it]) == [1, 0, 2, 3]


def test_messages_of_a_batch_and_of_frames_are_records(tmp_path: Path) -> None:
    one, two = adt("1", "A"), adt("2", "B", "20080501103000+0200")
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + one + two + b"BTS|2\rFTS|1\r"
    for body in (batch, b"\x0b" + one + b"\x1c\r\x0b" + two + b"\x1c\r"):
        found = list(records.messages(written(tmp_path, body), split))
        assert [(it.form, it.type, it.id) for it in found] == [("hl7v2", "ADT_A01", "1"), ("hl7v2", "ADT_A01", "2")]
        held = [it.body or body[it.offset : it.offset + it.length] for it in found]
        assert [sha256(it).digest() for it in held] == [it.digest for it in found]
        assert found[1].order == "2008-05-01T08:30:00.000000+00:00"


def test_the_form_of_a_file_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    told = {b' \n{"resourceType"': "fhir", b"MSH|": "hl7v2", b"\x0bMSH|": "hl7v2", b"Licence": "", b"": ""}
    assert {body: records.form(written(tmp_path, body)) for body in told} == told
