"""Content that is too large for a resource: streamed in and out, under the consents of its resource."""

from __future__ import annotations

import asyncio
import base64
import os
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.sweeping import Sweeping
from hawsepipe.errors import StoreError
from hawsepipe.model import Resource

CONTENT = os.urandom(700_001)
DATA = base64.b64encode(CONTENT).decode()
JSON = {"Accept": "application/fhir+json"}
DENIED = {"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "V"}


def document(content: bytes, **more: Any) -> Resource:
    attachment = {"contentType": "application/pdf", "data": base64.b64encode(content).decode()}
    return {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": "Patient/ann"},
        "content": [{"attachment": attachment}],
        **more,
    }


async def sent(service: Any, content: bytes = CONTENT) -> str:
    """Send a Binary in its own form and return its address."""
    raw = {"Content_Type": "application/pdf", "X_Security_Context": "Patient/ann"}
    made = await service.ask("POST", "Binary", content, **JSON, **raw)
    assert made.status == 201, made.body
    return str(made.headers["Location"]).partition("/_history")[0]


async def test_a_large_binary_goes_in_and_out_in_its_own_form(service: Any, ann: Resource) -> None:
    await service.put(ann)
    place = await sent(service)
    answer = await service.ask("GET", place)
    assert (answer.status, answer.body == CONTENT) == (200, True)
    assert answer.headers["Content-Type"] == "application/pdf"
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    head = await service.ask("HEAD", place)
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(CONTENT)))
    # The same again is no new version; another content is one, and the one before stays readable.
    raw = {"Content_Type": "application/pdf", "X_Security_Context": "Patient/ann"}
    assert (await service.ask("PUT", place, CONTENT, **raw)).headers["ETag"] == 'W/"1"'
    assert (await service.ask("PUT", place, CONTENT[::-1], **raw)).headers["ETag"] == 'W/"2"'
    assert (await service.ask("GET", place)).body == CONTENT[::-1]
    assert (await service.ask("GET", f"{place}/_history/1")).body == CONTENT
    assert (await service.ask("GET", place, If_None_Match='W/"2"')).status == 304


async def test_a_large_binary_is_read_as_fhir_with_its_content(service: Any, ann: Resource) -> None:
    await service.put(ann)
    place = await sent(service)
    answer = await service.ask("GET", place, **JSON)
    assert answer.headers["Content-Length"] == str(len(answer.body))
    assert answer.json["data"] == DATA
    assert answer.json["_data"]["extension"][0]["extension"][0]["valueString"] == sha256(CONTENT).hexdigest()
    pretty = await service.ask("GET", f"{place}?_format=json&_pretty=true")
    assert pretty.json == answer.json
    xml = await service.ask("GET", place, Accept="application/fhir+xml")
    assert f'<data value="{DATA}">'.encode() in xml.body
    # What was read can be sent back: nothing has changed.
    again = await service.ask("PUT", place, msgspec.json.encode({**answer.json}), Content_Type="application/fhir+json")
    assert again.status == 413  # a body in FHIR's form is within its own bound
    # In Bundles, and in part, it is the stored form, which is what the ledger has.
    (entry,) = (await service.ask("GET", f"{place}/_history")).json["entry"]
    assert "data" not in entry["resource"]
    assert (await service.ask("GET", f"{place}?_elements=contentType")).json["contentType"] == "application/pdf"


async def test_a_range_of_a_content_is_given(service: Any, ann: Resource) -> None:
    await service.put(ann)
    for content in (CONTENT, CONTENT[:5000]):
        place = await sent(service, content)
        size = len(content)
        for asked, start, end in (("0-0", 0, 1), ("10-999", 10, 1000), ("4000-", 4000, size), ("-7", size - 7, size)):
            answer = await service.ask("GET", place, Range=f"bytes={asked}")
            assert (answer.status, answer.body == content[start:end]) == (206, True)
            assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        past = await service.ask("GET", place, Range=f"bytes={size}-")
        assert (past.status, past.headers["Content-Range"]) == (416, f"bytes */{size}")
        for asked, more in (("bytes=0-1,5-6", {}), ("lines=1-2", {}), ("bytes=0-1", {"If_Range": 'W/"9"'})):
            assert (await service.ask("GET", place, Range=asked, **more)).status == 200


async def test_the_attachments_of_any_resource_are_kept_beside_it(service: Any, ann: Resource) -> None:
    await service.put(ann)
    content = CONTENT[:60_000]
    made = await service.ask("POST", "DocumentReference", document(content))
    assert made.status == 201, made.body
    attachment = made.json["content"][0]["attachment"]
    assert "data" not in attachment
    assert attachment["size"] == len(content)
    answer = await service.ask("GET", attachment["url"], Accept="*/*")
    assert (answer.status, answer.body == content) == (200, True)
    assert answer.headers["Content-Type"] == "application/pdf"
    place = f"DocumentReference/{made.json['id']}"
    same = await service.ask("PUT", place, document(content, id=made.json["id"]))
    assert same.headers["ETag"] == 'W/"1"'
    # As it was read it can be changed and sent back.
    changed = await service.ask("PUT", place, {**made.json, "description": "changed"})
    assert (changed.status, changed.headers["ETag"]) == (200, 'W/"2"')
    gone = await service.ask("PUT", place, document(b"small", id=made.json["id"]))
    assert gone.json["content"][0]["attachment"]["data"] == base64.b64encode(b"small").decode()
    assert (await service.ask("GET", attachment["url"])).status == 404
    old = attachment["url"].replace("/$content", "/_history/2/$content")
    assert (await service.ask("GET", old)).body == content


async def test_hidden_and_absent_contents_are_one(service: Any, ann: Resource) -> None:
    await service.put(ann)
    made = await service.ask("POST", "DocumentReference", document(CONTENT[:60_000], meta={"security": [DENIED]}))
    url = f"DocumentReference/{made.headers['Location'].split('/')[-3]}/$content"
    digest = sha256(CONTENT[:60_000]).hexdigest()
    hidden = await service.ask("GET", f"{url}?sha256={digest}")
    absent = await service.ask("GET", f"DocumentReference/none/$content?sha256={digest}")
    assert hidden.status == absent.status == 404
    assert hidden.json["issue"][0]["code"] == absent.json["issue"][0]["code"]
    assert (await service.ask("GET", f"{url}?sha256={digest}", token=None)).status == 401
    assert (await service.ask("GET", "Patient/ann/$content?sha256=" + digest)).status == 404
    assert (await service.ask("GET", "Patient/ann/$content")).status == 400


async def test_a_digest_alone_gives_nobody_a_content(service: Any, ann: Resource) -> None:
    await service.put(ann)
    place = await sent(service)
    stored = (await service.ask("GET", f"{place}/_history")).json["entry"][0]["resource"]
    forged = msgspec.json.decode(msgspec.json.encode(stored))
    for part in forged["_data"]["extension"][0]["extension"]:
        if part["url"] == "proof":
            part["valueString"] = "0" * 32
    refused = await service.ask("POST", "Binary", forged)
    assert refused.status == 422
    # Whoever was given the whole mark was given the content.
    assert (await service.ask("POST", "Binary", stored)).status == 201


async def test_a_content_that_was_changed_on_the_disk_is_not_given(service: Any, ann: Resource, tmp_path: Path) -> None:
    await service.put(ann)
    place = await sent(service)
    digest = sha256(CONTENT).hexdigest()
    file = tmp_path / "contents" / digest[:2] / digest
    kept = file.read_bytes()
    for changed in (kept[:-1] + bytes([kept[-1] ^ 1]), kept[: len(kept) // 2]):
        file.write_bytes(changed)
        for asked in ({}, {"Range": "bytes=0-1"}, JSON):
            answer = await service.ask("GET", place, **asked)
            assert answer.status == 500
            assert "CONTENT_MISMATCH" in answer.body.decode()
    file.unlink()
    assert (await service.ask("GET", place)).status == 500
    await sent(service)
    assert (await service.ask("GET", place)).body == CONTENT


async def test_an_upload_is_bounded_and_only_for_those_who_may_write(
    service: Any, ann: Resource, tmp_path: Path
) -> None:
    await service.put(ann)
    raw = {"Content_Type": "application/pdf", "X_Security_Context": "Patient/ann"}
    assert (await service.ask("POST", "Binary", bytes(950_001), **raw)).status == 413
    reader = service.token(scopes=("user/*.rs",))
    assert (await service.ask("POST", "Binary", CONTENT, token=reader, **raw)).status == 403
    assert (await service.ask("POST", "Binary", CONTENT, token=None, **raw)).status == 401
    assert (await service.ask("POST", "Binary", b"", **raw)).status == 201
    assert [path for path in (tmp_path / "contents").rglob("*") if path.is_file()] == []


async def test_a_content_survives_its_deletion_in_the_history(service: Any, ann: Resource) -> None:
    await service.put(ann)
    place = await sent(service)
    assert (await service.ask("DELETE", place)).status == 204
    assert (await service.ask("GET", place)).status == 410
    assert (await service.ask("GET", f"{place}/_history/1")).body == CONTENT
    named = await service.store.contents_named([sha256(CONTENT).hexdigest(), "0" * 64])
    assert named == {sha256(CONTENT).hexdigest()}


async def test_many_large_contents_at_once_are_each_whole(service: Any, ann: Resource) -> None:
    await service.put(ann)
    places = await asyncio.gather(*(sent(service, bytes([number]) * 900_000) for number in range(8)))
    answers = await asyncio.gather(*(service.ask("GET", place) for place in places))
    assert [answer.body[:1] for answer in answers] == [bytes([number]) for number in range(8)]


@pytest.mark.parametrize("about", ["DocumentReference", "Patient"])
async def test_an_entry_of_a_transaction_may_bring_a_large_content(service: Any, ann: Resource, about: str) -> None:
    await service.put(ann)
    resource = (
        document(CONTENT[:60_000]) if about == "DocumentReference" else {**ann, "photo": [{"data": DATA[:80_000]}]}
    )
    request = {"method": "POST", "url": about}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": resource, "request": request}]}
    answer = await service.ask("POST", "", bundle, Prefer="return=representation")
    assert answer.status == 200, answer.body
    assert "data" not in str(answer.json["entry"][0]["resource"].get("content", "")).replace("_data", "")


async def test_what_a_crash_between_file_and_commit_leaves_is_swept(
    service: Any, ann: Resource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.put(ann)
    kept = await sent(service, CONTENT[:90_000])

    async def crash(*_: Any, **__: Any) -> None:
        raise StoreError("the machine is gone")

    with monkeypatch.context() as patched:
        patched.setattr(service.store, "commit", crash)
        raw = {"Content_Type": "application/pdf", "X_Security_Context": "Patient/ann"}
        assert (await service.ask("POST", "Binary", CONTENT[:80_000], **raw)).status == 503
    contents = DiskContents(tmp_path / "contents")
    orphan, named = (contents.place(sha256(CONTENT[:size]).hexdigest()) for size in (80_000, 90_000))
    assert orphan.exists()
    grace = timedelta(hours=1)
    young = Sweeping(service.store, contents, lambda: datetime.now(UTC), grace, grace)
    assert await young.sweep() == 0
    later = Sweeping(service.store, contents, lambda: datetime.now(UTC) + 2 * grace, grace, grace)
    assert await later.sweep() == 1
    assert (orphan.exists(), named.exists()) == (False, True)
    assert (await service.ask("GET", kept)).body == CONTENT[:90_000]
