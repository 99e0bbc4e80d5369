"""Plans: Consents first, versions oldest first, messages by their time; the same sources give the same plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hawsepipe.migrate.plan import Held, Plan
from hawsepipe.migrate.planning import Maker
from hawsepipe.migrate.sources import Source

from .conftest import Archive, adt, consent, observation, patient
from .test_records import split


def planned(folder: Path, tmp_path: Path, size: int = 64) -> Plan:
    maker = Maker([Source("old", folder)], tmp_path / "work", split, size)
    list(maker.make(tmp_path / "plan.db"))
    return Plan(tmp_path / "plan.db")


def whole(plan: Plan) -> list[Held]:
    told: Any = plan.finished
    return [held for number in range(1, told["chunks"] + 1) for held in plan.chunk(number)]


def test_consents_come_first_and_versions_oldest_first(archive: Archive, tmp_path: Path) -> None:
    archive("a.ndjson", [patient("1", version="2"), patient("1", version="1"), observation("o", "1")])
    folder = archive("z.ndjson", [consent("c", "1")])
    held = whole(planned(folder, tmp_path))
    assert [(it.type, it.version) for it in held] == [
        ("Consent", ""), ("Patient", "1"), ("Observation", "1"), ("Patient", "2"),
    ]  # fmt: skip


def test_messages_come_by_their_time_whichever_file_they_are_in(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "a.hl7").write_bytes(adt("late", "A", "20100101"))
    (folder / "b.hl7").write_bytes(adt("early", "A", "20090101") + adt("later", "A", "20110101"))
    assert [it.id for it in whole(planned(folder, tmp_path))] == ["early", "late", "later"]


def test_the_same_sources_give_the_same_plan_and_a_change_another(archive: Archive, tmp_path: Path) -> None:
    folder = archive("a.ndjson", [patient("1"), patient("2")])
    first: Any = planned(folder, tmp_path).finished
    again: Any = planned(folder, tmp_path).finished
    assert again == first
    archive("a.ndjson", [patient("1"), patient("2", "Other")])
    changed: Any = planned(folder, tmp_path).finished
    assert changed["digest"] != first["digest"]


def test_chunks_have_so_many_records_and_every_record_is_in_one(archive: Archive, tmp_path: Path) -> None:
    plan = planned(archive("a.ndjson", [patient(str(number)) for number in range(10)]), tmp_path, 4)
    told: Any = plan.finished
    assert (told["chunks"], told["records"], told["counts"]) == (3, 10, {"old": {"Patient": 10}})
    assert [len(plan.chunk(number)) for number in (1, 2, 3, 4)] == [4, 4, 2, 0]


def test_a_frame_without_its_bytes_is_kept_beside(tmp_path: Path) -> None:
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "a.hl7").write_bytes(b"\x0b" + adt("1", "A").replace(b"\r", b"\r\n") + b"\x1c\r")
    for held in whole(planned(folder, tmp_path)):
        assert Path(held.path).read_bytes()[held.offset :][:3] == b"MSH"
        assert held.label == "a.hl7"


def test_an_address_means_what_its_own_bundle_says(archive: Archive, tmp_path: Path) -> None:
    def bundle(id_: str) -> dict[str, Any]:
        entry = {"fullUrl": "urn:uuid:1", "resource": patient(id_)}
        return {"resourceType": "Bundle", "type": "batch", "entry": [entry]}

    plan = planned(archive("a.ndjson", [bundle("x"), bundle("y")]), tmp_path)
    one, two = whole(plan)
    assert [plan.place(it, "urn:uuid:1") for it in (one, two)] == ["Patient/x", "Patient/y"]
    assert plan.place(one, "Patient?identifier=urn:mrn|y") == "Patient/y"
    assert plan.place(one, "urn:uuid:2") is None


def test_what_a_source_tells_in_two_ways_is_found(archive: Archive, tmp_path: Path) -> None:
    plan = planned(archive("a.ndjson", [patient("1"), patient("1", "Other"), patient("1")]), tmp_path)
    assert plan.contradictions(9) == (1, [("old", "Patient/1", 2)])
