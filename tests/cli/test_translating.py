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


def test_a_directory_is_read_whole_and_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name, number in (("c.hl7", 3), ("b/x.txt", 2), ("a", 1), (".git/config", 9), (".hidden", 9)):
        (tmp_path / name).write_text(message(number))
    assert ids(run(tmp_path).stdout) == ["1", "2", "3"]
    assert [Path(source.name).name for source in sources([tmp_path, Path("-")])] == ["a", "x.txt", "c.hl7", "-"]


def test_a_wrong_count_is_told_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "batch"
    file.write_text(f"BHS|^~\\&\r{message(1)}BTS|2\r")
    result = run(file)
    assert result.exit_code == 0
    assert "warning structure BTS-1" in result.stderr


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
