"""How text is written: character sets, escapes, delimiters, versions."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe import Severity
from hawsepipe_hl7v2 import translate as read

HEAD = "MSH|^~\\&|A|B|C|D|20260301083000+0000||ADT^A28|1|P|2.5.1"


def patient(message: bytes, **settings: Any) -> dict[str, Any]:
    translation = read(message, **settings)
    assert [one for one in translation.issues if one.severity is Severity.ERROR] == []
    (found,) = [change.resource for change in translation.changes if change.type == "Patient"]
    assert found is not None
    return found


def family(message: bytes, **settings: Any) -> str:
    return str(patient(message, **settings)["name"][0]["family"])


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("8859/1", "iso8859_1", "MÜLLER"),
        ("8859/2", "iso8859_2", "Łukasz Dvořák"),
        ("8859/5", "iso8859_5", "Иванов"),
        ("8859/7", "iso8859_7", "Παπαδόπουλος"),
        ("8859/8", "iso8859_8", "כהן"),
        ("8859/9", "iso8859_9", "Şahin"),
        ("8859/15", "iso8859_15", "Žižka €"),
        ("UNICODE UTF-8", "utf-8", "山田 Ōé 🐢"),
        ("UNICODE", "utf-8", "Nguyễn"),
        ("GB 18030-2000", "gb18030", "王小明"),
        ("KS X 1001", "euc_kr", "김철수"),
        ("BIG-5", "big5", "陳大文"),
        ("ASCII~ISO IR87", "iso2022_jp", "山田"),
        ("ISO IR14~ISO IR87", "iso2022_jp", "山田"),
        ("8859/1~ISO IR87", "iso8859_1", "MÜLLER"),
    ],
)
def test_a_name_arrives_in_every_character_set(declared: str, codec: str, name: str) -> None:
    message = f"{HEAD}||||||{declared}\rPID|1||M1||{name}^X\r".encode(codec)
    assert family(message) == name


def test_a_byte_order_mark_means_utf_8_whatever_msh_18_says() -> None:
    assert family(b"\xef\xbb\xbf" + f"{HEAD}||||||8859/1\rPID|1||M1||Müller\r".encode()) == "Müller"


def test_delimiters_inside_a_two_byte_set_are_no_delimiters() -> None:
    # 曖 is 0x5B23, 鰄 0x723C: among the bytes of such signs stand | ^ ~ \ and &.
    signs = "".join(
        bytes((0x1B, 0x24, 0x42, high, low, 0x1B, 0x28, 0x42)).decode("iso2022_jp")
        for high, low in ((0x30, 0x7C), (0x33, 0x5E), (0x34, 0x7E), (0x35, 0x5C), (0x36, 0x26))
    )
    message = f"{HEAD}||||||ASCII~ISO IR87\rPID|1||M1||{signs}^X\r".encode("iso2022_jp")
    assert b"|" in signs.encode("iso2022_jp")
    assert patient(message)["name"] == [{"family": signs, "given": ["X"]}]


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        (r"A\F\B\S\C\T\D\R\E\E\F", "A|B^C&D~E\\F"),
        (r"A\.br\B\.sp2\C", "A\nB\n\nC"),
        (r"\H\loud\N\ quiet", "loud quiet"),
        (r"caf\XE9\ ", "café"),
        (r"\X5C467C\ ", "\\F|"),
        (r"A\Zown\B", r"A\Zown\B"),
        (r"A\unfinished", r"A\unfinished"),
        (r"A\\B", r"A\\B"),
        (r"\C2D46\Ðá\C2842\ abc", "Πα abc"),
        (r"\M2442\;3ED\C2842\ YAMADA", "山田 YAMADA"),
        (r"\M2442\odd\C2842\ ", r"odd"),
    ],
)
def test_escapes_of_text(sent: str, text: str) -> None:
    message = f"{HEAD}||||||8859/1\rPID|1||M1||{sent}\r".encode("iso8859_1")
    assert family(message) == text


@pytest.mark.parametrize("marks", ["^~\\&", "@~\\&", "$%'!", "^~\\&#", "*:?;+"])
@pytest.mark.parametrize("separator", ["|", "#", "/"])
def test_any_delimiters_read_alike(marks: str, separator: str) -> None:
    if separator in marks:
        return
    told = HEAD.replace("ADT^A28", f"ADT{marks[0]}A28").replace("|^~\\&|", f"|{marks}|")
    name = f"DOE{marks[0]}JANE{marks[2]}R{marks[2]}X"
    message = f"{told}\rPID|1||M1{marks[0] * 3}G{marks[3]}1.2.3{marks[3]}ISO{marks[0]}MR{marks[1]}M2||{name}\r"
    found = patient(message.replace("|", separator).encode())
    assert found["name"] == [{"family": "DOE", "given": [f"JANE{marks[1]}X"]}]
    assert [(one["system"], one["value"]) for one in found["identifier"]] == [
        ("urn:oid:1.2.3", "M1"),
        ("urn:hawsepipe:facility:B", "M2"),
    ]


def test_a_value_that_its_sender_cut_off_says_so() -> None:
    message = HEAD.replace("^~\\&|", "^~\\&#|").replace("2.5.1", "2.7") + "\rPID|1||M1||DOE#^JANE^Q\\P\\\r"
    translation = read(message.encode())
    (found,) = [change.resource or {} for change in translation.changes if change.type == "Patient"]
    assert found["name"] == [{"family": "DOE#", "given": ["JANE", "Q#"]}]
    told = [(one.severity, one.cause) for one in translation.issues if one.location == "PID-5"]
    assert told == [(Severity.WARNING, "parse")]


OLD = "MSH|^~\\&|A|B|C|D|198803010830||ADT|1|P|{}"


@pytest.mark.parametrize(
    "version", ["2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8", "2.8.1", "2.8.2"]
)
def test_every_version_gives_the_same_patient_and_visit(version: str) -> None:
    trigger = "EVN|A01|20260301083000+0000"
    # Until 2.2 MSH-9 is the type alone, PID-3 one identifier, PV1-3 and PV1-7 of types CM; later ones refine them.
    head = (OLD if version < "2.3" else HEAD.replace("A28", "A01")).replace("2.5.1", version).format(version)
    name = "DOE^JANE" if version < "2.3" else "DOE&&&&^JANE^^^^^L"
    person = f"PID|1|OLD1|M1^^^G^MR|ALT1|{name}||19800101|F"
    visit = "PV1|1|I|W1^101^A^HOSP||||D7^WELBY^MARCUS" + "|" * 12 + "V1"
    translation = read("\r".join((head, trigger, person, visit)).encode())
    assert [one for one in translation.issues if one.severity is Severity.ERROR] == []
    known = {change.type: change.resource or {} for change in translation.changes}
    assert (known["Patient"]["name"][0]["family"], known["Patient"]["birthDate"]) == ("DOE", "1980-01-01")
    assert [one["value"] for one in known["Patient"]["identifier"]] == ["M1", "OLD1", "ALT1"]
    assert (known["Encounter"]["status"], known["Encounter"]["class"]["code"]) == ("in-progress", "IMP")
    assert translation.header is not None
    assert translation.header["eventCoding"]["code"] == "A01"


def test_a_message_whose_letters_come_in_pairs_is_told(translate: Any) -> None:
    made = translate((f"{HEAD}||||||8859/1", "PID|1||M1||Müller"))
    assert made.one("Patient")["name"][0]["family"] == "Müller"
    assert len(made.texts("MSH-18")) == 1


def test_a_damaged_message_is_read_alike() -> None:
    found = read(f"{HEAD}||||||8859/1\rPID|1||M1||Müller\rno segment\r".encode())
    (person,) = [change.resource for change in found.changes if change.type == "Patient"]
    assert person is not None
    assert person["name"][0]["family"] == "Müller"
    assert [one.severity for one in found.issues if one.location == "MSH-18"] == [Severity.WARNING]
