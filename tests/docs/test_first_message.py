"""docs/first-message.md is executed, block by block, as a newcomer would."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "first-message.md"


def _blocks() -> tuple[list[str], str]:
    """Return the shell blocks and the message of the page."""
    text = PAGE.read_text(encoding="utf-8")
    message = re.search(r"```\n(MSH.*?)```", text, re.DOTALL)
    assert message is not None
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL), message.group(1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _shell(script: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=folder, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode("utf-8")


async def test_the_page_works_as_it_is_written(tmp_path: Path) -> None:
    blocks, message = _blocks()
    fhir, mllp = _free_port(), _free_port()
    blocks = [block.replace("8080", str(fhir)) for block in blocks]
    init, serve, translate, no_consent, consent, reads, proof = blocks
    assert "is good" in await _shell(init, tmp_path)
    configuration = tmp_path / "hawsepipe.toml"
    text = configuration.read_text(encoding="utf-8").replace("8080", str(fhir)).replace("2575", str(mllp))
    configuration.write_text(text, encoding="utf-8")
    (tmp_path / "message.hl7").write_text(message, encoding="utf-8")
    assert serve.split() == ["hawsepipe", "serve"]
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hawsepipe", "serve", cwd=tmp_path, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while "live" not in await _shell(f"curl -s http://127.0.0.1:{fhir}/health/live", tmp_path):
                await asyncio.sleep(0.1)
            while "MSA" not in (sent := await _shell(_to(translate, mllp), tmp_path)):
                await asyncio.sleep(0.1)
        assert "MSA|AA|MSG00001" in sent
        assert '"resourceType": "Bundle"' in sent
        assert "PID-5.1" in sent
        refused = await _shell(no_consent, tmp_path)
        assert re.match(r"Patient/[0-9a-f-]{36}\n", refused)
        assert "HTTP/1.1 404" in refused
        assert '"Consent"' in await _shell(no_consent + consent, tmp_path)
        answers = await _shell(no_consent + reads, tmp_path)
        assert '"Garcia"' in answers
        assert answers.rstrip().count("HTTP/1.1 404") == 1, "the second doctor still gets the 404"
        async with asyncio.timeout(20):
            while "PROVEN" not in (verdict := await _shell(no_consent + proof, tmp_path)):
                await asyncio.sleep(0.2)
        assert "NOT PROVEN" not in verdict
        evidence = tmp_path / "evidence.json"
        evidence.write_text(evidence.read_text(encoding="utf-8").replace("Garcia", "Garcio"), encoding="utf-8")
        tampered = "hawsepipe verify evidence.json --trust hawsepipe-data/trust.json"
        assert "CONTENT_MISMATCH" in await _shell(tampered, tmp_path)
    finally:
        service.send_signal(signal.SIGTERM)
        assert await service.wait() == 0


def _to(block: str, port: int) -> str:
    """Send to the port that this test has instead of the default."""
    return block.replace("hawsepipe send", f"hawsepipe send --to 127.0.0.1:{port}")
