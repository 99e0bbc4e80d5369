"""`hawsepipe config` on a running service: an edited feed is started anew, others go on; versions, diff, rollback."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from tests.service.test_messages import _message

from hawsepipe.demo.sender import Sender

if TYPE_CHECKING:
    from tests.service.conftest import Installation

SECOND = """
[[feeds]]
name = "other"
kind = "mllp"
translator = "hl7v2"
[feeds.settings]
port = {port}
"""


async def _cli(installation: Installation, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hawsepipe", "config", *arguments, "-c", str(installation.config.path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def _edit(installation: Installation, before: str, after: str) -> None:
    path = installation.config.path
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")


async def test_an_edited_feed_is_started_anew_and_the_others_go_on(installation: Installation, unused: int) -> None:
    path = installation.config.path
    path.write_text(path.read_text(encoding="utf-8") + SECOND.format(port=unused), encoding="utf-8")
    await installation.start()
    async with Sender("127.0.0.1", unused) as other:
        assert b"MSA|AA|O1" in await other.exchange(_message("O1"))
        async with Sender("127.0.0.1", installation.mllp_port) as sender:
            assert b"MSA|AR|D1" in await sender.exchange(_message("D1").replace(b"|P|2.5.1", b"|D|2.5.1"))
        _edit(installation, "# [feeds.settings.accept]\n", "[feeds.settings.accept]\nprocessing_ids = ['P', 'D']\n")
        status, text = await _cli(installation, "apply", "--author", "Practitioner/7")
        assert (status, text) == (0, "version 2; started anew: adt\n")
        async with Sender("127.0.0.1", installation.mllp_port) as sender:
            assert b"MSA|AA|D2" in await sender.exchange(_message("D2").replace(b"|P|2.5.1", b"|D|2.5.1"))
        assert b"MSA|AA|O2" in await other.exchange(_message("O2")), "over the connection that was there before"
        status, text = await _cli(installation, "apply")
        assert (status, text) == (0, "version 2; started anew: nothing\n")
        status, text = await _cli(installation, "versions")
        assert [line.split()[0::2] for line in text.splitlines()] == [["1", "start"], ["2", "Practitioner/7"]]
        status, text = await _cli(installation, "diff", "1", "2")
        assert status == 1
        assert "+processing_ids = ['P', 'D']" in text.splitlines()
        status, text = await _cli(installation, "rollback", "1")
        assert (status, text) == (0, "version 3; started anew: adt\n")
        assert (await _cli(installation, "diff", "1"))[0] == 0, "the file is as it was"
        async with Sender("127.0.0.1", installation.mllp_port) as sender:
            assert b"MSA|AR|D3" in await sender.exchange(_message("D3").replace(b"|P|2.5.1", b"|D|2.5.1"))
        assert b"MSA|AA|O3" in await other.exchange(_message("O3"))


async def test_what_is_wrong_or_takes_a_restart_changes_nothing(installation: Installation, unused: int) -> None:
    await installation.start()
    mllp = f"port = {installation.mllp_port}"
    somebody = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", unused)
    for before, after, reason in (
        (mllp, mllp + "\nprot = 1", "settings.prot: this key is not known"),
        (mllp, mllp + "\ntls = { certificate = 'none.pem', key = 'none.key' }", "tls"),
        ('name = "adt"', 'name = "tda"', "takes a restart"),
        ("# page_size = 50", "page_size = 51", "takes a restart"),
        (mllp, f"port = {installation.config.port}", "settings.port: the API listens on"),
        # A port that somebody else has: found only when the feed is to listen, and then it listens where it did.
        (mllp, f"port = {unused}", "cannot listen"),
    ):
        whole = installation.config.path.read_text(encoding="utf-8")
        _edit(installation, before, after)
        status, text = await _cli(installation, "apply")
        installation.config.path.write_text(whole, encoding="utf-8")
        assert status == 2
        assert reason in text
        async with Sender("127.0.0.1", installation.mllp_port) as sender:
            assert b"MSA|AA|" in await sender.exchange(_message(f"C{len(reason)}"))
    somebody.close()
    status, text = await _cli(installation, "versions")
    assert len(text.splitlines()) == 1
    assert (await _cli(installation, "rollback", "9"))[0] == 2


async def test_a_change_of_the_file_that_was_made_while_nothing_ran_is_a_version_too(
    installation: Installation,
) -> None:
    await installation.start()
    await installation.stop()
    _edit(installation, "# page_size = 50", "page_size = 51")
    await installation.start()
    status, text = await _cli(installation, "versions")
    assert (status, [line.split()[0] for line in text.splitlines()]) == (0, ["1", "2"])
    folder = installation.config.data / "config"
    assert {oct(file.stat().st_mode & 0o777) for file in folder.iterdir()} == {"0o600"}
