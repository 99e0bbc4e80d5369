"""`hawsepipe translate`: files, directories, standard input; bundles, findings, exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hawsepipe.cli import main
from hawsepipe.cli.sources import sources

HEAD = "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A28|{}|P|2.5.1\r"
PID = "PID|1||MRN{}^^^GOOD^MR||DOE^JANE||19800101|F\r"


def message(number: int = 1, head: str = HEAD, pid: str = PID) -> str:
    return head.format(number) + pid.format(number)


def run(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["translate", *map(str, arguments)], input=text)


def ids(output: str) -> list[str]:
    return [json.loads(line)["identifier"]["value"] for line in output.splitlines()]


def test_one_message_is_printed_for_people(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(message())
    result = run(file)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["type"] == "transaction"
    assert result.stdout.startswith("{\n")
    assert "ADT^A28 1 from ADT1|GOOD: 1 Device" in result.stderr
    assert run("-", text=message()).stdout == result.stdout


@pytest.mark.parametrize(
    "text",
    [
        message(1) + message(2),
        f"FHS|^~\\&\rBHS|^~\\&\r{message(1)}{message(2)}BTS|2\rFTS|1\r",
        f"\x0b{message(1)}\x1c\r\x0b{message(2)}\x1c\r",
        message(1).replace("\r", "\n") + message(2).replace("\r", "\r\n"),
    ],
)
def test_several_are_a_line_each_however_they_stand_in_the_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "many.hl7"
    file.write_text(text, newline="")
    result = run(file)
    assert (result.exit_code, ids(result.stdout)) == (0, ["1", "2"])
    assert "2 messages, 0 with an error" in result.stderr


def test_a_message_that_is_too_long_is_an_error_and_its_bundle_says_so(tmp_path: Path) -> None:
    file = tmp_path / "long.hl7"
    file.write_text(f"{message()}NTE|1||{'x' * (16 * 1024 * 1024)}\rAL1|1|DA|PEN^Penicillin^L\r", newline="")
    result = run(file)
    assert (result.exit_code, "the message is too long" in result.stderr) == (1, True)
    assert json.loads(result.stdout)["meta"]["tag"][0]["code"] == "refused"


def test_a_directory_is_read_whole_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name, number in (("c.hl7", 3), ("b/x.txt", 2), ("a", 1), (".git/config", 9), (".hidden", 9)):
        (tmp_path / name).write_text(message(number))
    assert ids(run(tmp_path).stdout) == ["1", "2", "3"]
    assert [Path(source.name).name for source in sources([tmp_path, Path("-")])] == ["a", "x.txt", "c.hl7", "-"]


@pytest.mark.parametrize(("end", "place"), [("BTS|2\r", "BTS-1"), ("BTS|1\rFTS|2\r", "FTS-1")])
def test_a_batch_with_another_number_of_messages_is_an_error_and_what_is_there_is_translated(
    tmp_path: Path, end: str, place: str
) -> None:
    file = tmp_path / "batch"
    file.write_text(f"BHS|^~\\&\r{message(1)}{end}")
    result = run(file)
    assert result.exit_code == 1
    assert f"error structure {place}" in result.stderr
    assert json.loads(result.stdout)["identifier"]["value"] == "1"


def test_a_frame_that_was_cut_short_is_an_error_and_no_message(tmp_path: Path) -> None:
    file = tmp_path / "frames"
    head = HEAD.format(1).replace("ADT^A28", "ORU^R01")
    file.write_text(f"\x0b{head}{PID}OBR|1|A9|F9|K^K^L\rOBX|1|NM|K^Kalium^L||14", newline="")
    result = run(file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error parse -: the MLLP frame has no end" in result.stderr


def overlay(tmp_path: Path, rows: str, target: str = 'resource = "Patient"\njoins = "patient"') -> Path:
    folder = tmp_path / "overlays"
    folder.mkdir(exist_ok=True)
    (folder / "good.toml").write_text(
        f'sender = {{ facility = "GOOD" }}\n[[segments]]\nsegment = "ZPI"\n[[segments.targets]]\n{target}\n'
        f"rows = [{rows}]\n"
    )
    return folder


def test_what_the_record_refuses_after_its_acknowledgement_is_an_error_here(tmp_path: Path) -> None:
    folder = overlay(tmp_path, '{ from = "ZPI-1", to = "photo[0].url", via = "string" }')
    file = tmp_path / "one"
    file.write_text(message() + "ZPI|not a ZEBRA\r")
    result = run("--overlay", folder, file)
    assert result.exit_code == 1
    assert "error mapping Patient.photo[0].url: the result breaks R4: " in result.stderr
    assert "ZEBRA" not in result.stderr
    assert json.loads(result.stdout)["meta"]["tag"][0]["code"] == "refused"


def test_a_message_of_which_nothing_can_be_translated_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(HEAD.replace("ADT^A28", "MFN^M02").format(1))
    result = run(file)
    assert result.exit_code == 1
    assert "error mapping MSH-9: nothing in this message can be translated" in result.stderr


@pytest.mark.parametrize("text", ["", "hello\n", '{"resourceType": "Patient"}'])
def test_a_file_without_a_message_is_an_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "odd"
    file.write_text(text)
    result = run(file)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no message in it" in result.stderr


def test_an_error_in_one_message_is_exit_status_1_and_the_others_are_printed_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "some"
    file.write_text(message(1) + message(2, pid="PID|1||||DOE\r") + message(3))
    result = run(file)
    assert (result.exit_code, ids(result.stdout)) == (1, ["1", "2", "3"])
    assert f"{file}@{len(message(1))}: error required PID-3: there is no patient identifier" in result.stderr


def test_findings_go_to_a_file_as_outcomes(tmp_path: Path) -> None:
    file, found = tmp_path / "some", tmp_path / "found.ndjson"
    file.write_text(message(1) + message(2, pid="PID|1||||DOE\r") + "no segment\r")
    result = run("--issues", found, file)
    assert result.exit_code == 1
    assert "required" not in result.stderr
    (outcome,) = [json.loads(line) for line in found.read_text().splitlines()]
    assert outcome["resourceType"] == "OperationOutcome"
    assert {(issue["severity"], *issue["location"]) for issue in outcome["issue"]} >= {
        ("error", "PID-3"),
        ("error", "PID"),
    }
    told = {item["url"].rpartition(":")[2]: item["valueString"] for item in outcome["extension"]}
    assert told == {"message": "ADT^A28 2 from ADT1|GOOD", "source": f"{file}@{len(message(1))}"}


def test_codes_that_nothing_maps_are_a_list_of_work_by_sender(tmp_path: Path) -> None:
    file = tmp_path / "codes"
    odd = "PID|1||MRN{}^^^GOOD^MR||DOE|||Q||X^^99LOCAL||||||WED^Wedded^99LOCAL\r"
    file.write_text(message(1, pid=odd) + message(2, pid=odd) + message(3, HEAD.replace("ADT1", "OTHER"), odd))
    work = run(file).stderr.split("codes to map")[1]
    assert "2 ADT1|GOOD PID-8 Q: " in work
    assert "2 ADT1|GOOD PID-16.1 WED^99LOCAL: " in work
    assert "1 OTHER|GOOD PID-8 Q: " in work


def test_an_overlay_applies_to_its_sender(tmp_path: Path) -> None:
    overlays = tmp_path / "overlays"
    overlays.mkdir()
    (overlays / "good.toml").write_text('[sender]\nfacility = "GOOD"\n[codes.AdministrativeSex]\nQ = "other"\n')
    file = tmp_path / "one"
    file.write_text(message(pid=PID.replace("|F", "|Q")))
    made: Any = json.loads(run("--overlay", overlays, file).stdout)
    assert [entry["resource"].get("gender") for entry in made["entry"] if "gender" in entry["resource"]] == ["other"]
    (overlays / "bad.toml").write_text("[sender]\nfacility = 1\n")
    broken = run("--overlay", overlays, file)
    assert (broken.exit_code, broken.stdout) == (2, "")
    assert "bad.toml: sender.facility" in broken.stderr


def test_explain_says_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(message())
    lines = run("--explain", file).stdout.splitlines()
    assert any(line.split() == ["name[0].family", "PID-5.1"] for line in lines)
    assert any(line.split() == ["eventCoding.code", "MSH-9.2"] for line in lines)
    assert any(line.split() == ["recorded", "MSH-7"] for line in lines)


def test_strict_checks_against_the_version(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(message())
    assert run(file).exit_code == 0
    strict = run("--strict", file)
    assert strict.exit_code == 1
    assert "error structure" in strict.stderr
    assert json.loads(strict.stdout) == json.loads(run(file).stdout)


@pytest.mark.parametrize("arguments", [[], ["no-such-file"], ["--no-such-option", "-"]])
def test_a_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_translated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"{number}.hl7").write_text(message(number))
    opened = Path.open

    def denied(path: Path, *arguments: Any, **more: Any) -> Any:
        if path.name == "2.hl7":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **more)

    monkeypatch.setattr(Path, "open", denied)
    result = run(tmp_path)
    assert (result.exit_code, ids(result.stdout)) == (1, ["1", "3"])
    assert "2.hl7: error structure -: the file cannot be read (Permission denied)" in result.stderr


def test_the_time_zone_can_be_told(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(message(head=HEAD.replace("+0000", "")))
    told = json.loads(run("--timezone", "America/Chicago", file).stdout)
    assert told["timestamp"] == "2026-03-01T08:30:00-06:00"
    wrong = run("--timezone", "America/Nowhere", file)
    assert "no such IANA time zone" in str(wrong.output) + str(wrong.exception)


def test_the_settings_of_the_directory_count_if_they_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "one.hl7"
    file.write_text(message())
    settings = '[translators.settings.systems]\nGOOD = "https://good.example/mrn"\n'
    (tmp_path / "hawsepipe.toml").write_text(
        '[service]\nchannel = "a.example/log"\n[plugins]\nload = ["hl7v2"]\n'
        f'[[translators]]\nname = "hl7v2"\nkind = "hl7v2"\n{settings}'
    )
    result = run(file)
    assert "with the settings of hawsepipe.toml" in result.stderr
    assert "https://good.example/mrn" in result.stdout
    (tmp_path / "hawsepipe.toml").unlink()
    assert "https://good.example/mrn" not in run(file).stdout


def test_the_five_causes_are_in_the_file_of_findings(tmp_path: Path) -> None:
    file, found = tmp_path / "one.hl7", tmp_path / "found.ndjson"
    file.write_text(message(pid="PID|1||||DOE^JANE||1980x|Q|||||||||||||||||||||||||||||||||||||||x\rnonsense\r"))
    run("--issues", found, file)
    issues = json.loads(found.read_text().splitlines()[0])["issue"]
    causes = {issue["details"]["coding"][0]["code"] for issue in issues}
    assert causes >= {"parse", "mapping", "code", "required"}
    codes = {(issue["severity"], issue["code"]) for issue in issues}
    assert ("error", "informational") not in codes
    assert ("information", "informational") in codes
    broken = tmp_path / "two.hl7"
    broken.write_text(message(head=HEAD.replace("A28", "Z99")))
    run("--issues", found, broken)
    assert ("error", "processing") in {
        (issue["severity"], issue["code"]) for issue in json.loads(found.read_text().splitlines()[0])["issue"]
    }


def test_a_message_without_a_type_says_so_and_has_a_name(tmp_path: Path) -> None:
    file, found = tmp_path / "one.hl7", tmp_path / "found.ndjson"
    file.write_text("MSH|^~\\&|\rPID|1||M1\r")
    result = run(file)
    assert "error required MSH-9: MSH-9 is empty" in result.stderr
    assert "a message without a type: " in result.stderr
    run("--issues", found, file)
    assert "^  from |" not in found.read_text()


def test_own_codes_and_authorities_are_on_the_work_list(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    result = "OBR|1|P1|F1|4711^Panel^99LOK\rOBX|1|NM|CRP^CRP^L||5|mg/l|||||F\r"
    file.write_text(message(head=HEAD.replace("ADT^A28", "ORU^R01")) + result)
    told = run(file).stderr
    assert "ADT1|GOOD OBX-3.1 CRP^L: a code of the sender's own that nothing maps" in told
    assert "OBR-4.1 4711^99LOK: " in told
    assert "GOOD: an authority without a URI; see `systems`" in told
    overlays = tmp_path / "overlays"
    overlays.mkdir()
    (overlays / "good.toml").write_text(
        'sender = { facility = "GOOD" }\n[systems]\nGOOD = "https://good.example/mrn"\n'
        '[tables.Lab]\nsystem = "http://loinc.org"\ncodes = { "L|CRP" = "1988-5" }\n'
        '[[segments]]\nsegment = "OBX"\n[[segments.targets]]\nresource = "Observation"\nrole = "observation"\n'
        'rows = [{ from = "OBX-3", to = "code", via = "CodeableConcept:Lab" }]\n'
    )
    mapped = run("--overlay", overlays, file)
    assert "1988-5" in mapped.stdout
    assert "CRP^L" not in mapped.stderr
    assert "an authority without a URI" not in mapped.stderr


RESULT = "OBR|1|P1|F1|CRP^CRP^L\rOBX|1|NM|CRP^CRP^L||82,5|mg/l|||||F\r"


def configured(folder: Path, feed: str) -> None:
    (folder / "hawsepipe.toml").write_text(
        '[service]\nchannel = "a.example/log"\n[plugins]\nload = ["hl7v2"]\n'
        f'[[translators]]\nname = "hl7v2"\nkind = "hl7v2"\n[[feeds]]\nname = "lab"\nkind = "mllp"\n'
        f'translator = "hl7v2"\n{feed}'
    )


def test_a_value_that_a_feed_would_refuse_is_an_error_unless_the_feed_is_lenient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "one.hl7"
    file.write_text(message(head=HEAD.replace("ADT^A28", "ORU^R01")) + RESULT)
    strict = run(file)
    assert strict.exit_code == 1
    assert "error code OBX-5: the value is not of the type NM that OBX-2 gives it" in strict.stderr
    assert json.loads(strict.stdout)["meta"]["tag"][0]["code"] == "refused"
    assert run("--values", "lenient", file).exit_code == 0
    configured(tmp_path, '[feeds.settings.accept]\nvalues = "lenient"\n')
    assert run(file).exit_code == 0
    assert run("--values", "strict", file).exit_code == 1
    configured(tmp_path, "")
    assert run(file).exit_code == 1


def test_an_overlay_directory_without_an_overlay_is_told(tmp_path: Path) -> None:
    file, folder = tmp_path / "one.hl7", tmp_path / "overlays"
    file.write_text(message())
    folder.mkdir()
    result = run("--overlay", folder, file)
    assert result.exit_code == 0
    assert f"warning: overlays: there is no overlay in {folder}" in result.stderr


@pytest.mark.parametrize(
    "rows",
    [
        "OBR|1|P1|F1|HIV^HIV^L\rOBX|1|NM|HIV^HIV viral load^L||ZEBRA|||||F\r",
        "OBR|1|P1|F1|HIV^HIV^L\rOBX|1|CE|HIV^HIV viral load^L||ZEBRA^zebra^L|||||F\r",
        "OBR|1|P1|F1|HIV^HIV^L\rOBX|1|NM|HIV^HIV viral load^L||5,6ZEBRA|||||F\r",
        "OBR|1|P1|F1|the ZEBRA of a long story that is told in words^^99L\r",
        "PV1|1|ZEBRA is on the ward of our hospital for the rest of the week\r",
    ],
)
def test_no_value_of_a_result_and_no_free_text_is_on_the_list_of_codes(tmp_path: Path, rows: str) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(message(head=HEAD.replace("ADT^A28", "ORU^R01")) + rows)
    assert "ZEBRA" not in run(file).stderr


def test_no_date_is_on_the_list_of_codes_even_where_a_code_should_stand(tmp_path: Path) -> None:
    file = tmp_path / "one.hl7"
    file.write_text(message(pid=PID.replace("|F\r", "|19800101||19800101^^99L\r")))
    told = run(file).stderr
    assert "19800101" not in told
    assert "PID-8 (in words): " in told
    file.write_text(message().replace("\r", "\\r"))
    assert "19800101" not in run(file).stderr


def test_an_empty_directory_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    result = run(tmp_path / "nothing")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "nothing: error structure -: there is no file in this directory" in result.stderr


def test_a_missing_file_is_told_and_the_others_are_translated(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(message())
    result = run(tmp_path / "none", file)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["identifier"]["value"] == "1"
    assert "none: error structure -: the file cannot be read (No such file or directory)" in result.stderr


def test_a_utf_16_file_is_told_for_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "one"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        file.write_bytes(message().encode(encoding))
        result = run(file)
        assert result.exit_code == 1
        assert "error parse -: UTF-16 is not allowed in a v2 message" in result.stderr
