"""The strict check: what breaks the definitions of the message's version."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe_hl7v2 import reference
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.strictness import check

HEAD = "MSH|^~\\&|A|B|C|D|20260301||{}|1|P|{}"
ADT = HEAD.format("ADT^A01^ADT_A01", "2.5.1")
EVN, PID, PV1 = "EVN||20260301", "PID|1||M1^^^G||DOE^JANE", "PV1|1|I"


def found(*segments: str) -> set[tuple[str, str]]:
    issues = list(check(parse("\r".join(segments).encode())))
    assert all((issue.cause, issue.severity) == ("structure", "error") for issue in issues)
    return {(issue.location, issue.text) for issue in issues}


@pytest.mark.parametrize("name", ["admission", "result", "merge"])
def test_a_message_that_keeps_the_standard_has_no_finding(samples: Any, name: str) -> None:
    assert found(*samples[name]) == set()


def test_the_structure_is_that_of_the_event() -> None:
    assert found(ADT, EVN, PID) == {("PID", "the segment PV1 is missing here")}
    assert found(ADT, EVN, PV1, PID) == {
        ("EVN", "the segment PID is missing here"),
        ("PID", "the structure does not expect this segment here"),
    }
    assert found(ADT, EVN, PID, PV1, "ZZZ|anything^at|all", "AL1|1||X^Y^Z") == set()
    assert found(ADT, EVN, PID, PV1, "FT1|1") >= {("FT1", "the structure does not expect this segment here")}
    # An event that shares the structure of another, without MSH-9.3.
    assert found(HEAD.format("ADT^A08", "2.5.1"), EVN, PID, PV1) == set()
    assert found(HEAD.format("ZZZ^Z01", "2.5.1"), "ZPA|1") == {
        ("MSH-9", "this version defines no structure of the message")
    }


def test_groups_repeat_and_nest() -> None:
    head = HEAD.format("ORU^R01^ORU_R01", "2.5.1")
    order = ("OBR|1|||X^Y^Z", "OBX|1|NM|A^B^C||1||||||F", "NTE|1", "OBX|2|ST|A^B^C||x||||||F")
    assert found(head, PID, *order, *order) == set()
    assert found(head, PID, "ORC|RE", "OBX|1|NM|A^B^C||1||||||F") == {("ORC", "the segment OBR is missing here")}
    assert ("MSH", "the group ORU_R01_PATIENT_RESULT is missing here") in found(head)


def test_fields_components_and_primitives_are_those_of_the_version() -> None:
    wrong = "PID|1||||DOE^JANE||198X||||||" + "|" * 30 + "extra"
    assert found(ADT, EVN, wrong, PV1) == {
        ("PID-3", "a required field is empty"),
        ("PID-7", "not a value of the data type TS"),
        ("PID-43", "this version has no such field"),
    }
    assert found(ADT, EVN, "PID|1|a~b|M1&x&y^^^G||DOE", PV1) == {
        ("PID-2", "the field repeats more often than this version allows"),
        ("PID-3.1", "the data type ST has no subcomponents"),
    }
    head = HEAD.format("ORU^R01^ORU_R01", "2.5.1")
    assert found(head, PID, "OBR|1|||X^Y^Z", "OBX|1|NM|A^B^C||high||||||F", "OBX|2|QQ|A^B^C||1||||||F") == {
        ("OBX-5", "not a value of the data type NM"),
        ("OBX[2]-5", "this version has no data type of the name in OBX-2"),
    }
    assert found(ADT.replace("2.5.1", "9.9"), EVN, PID, PV1) == {("MSH-12", "there is no definition of this version")}


@pytest.mark.parametrize("version", sorted(reference.VERSIONS))
def test_every_version_has_its_definitions(version: str) -> None:
    assert reference.segment(version, "PID") is not None
    assert reference.datatype(version, "CX" if version > "2.2" else "CK") is not None
    assert isinstance(found(HEAD.format("ADT^A01", version), EVN, PID, PV1), set)
