"""What every step of the demo works with: the running service seen from outside, and what earlier steps found."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from hawsepipe.clock import system_clock
from hawsepipe.service.credentials import issued_token
from hawsepipe.service.running import Service

PROGRAM = shlex.quote(str(Path(sys.argv[0]).absolute())) if Path(sys.argv[0]).name == "hawsepipe" else "hawsepipe"
"""How to call this very program."""

DOCTOR = "Practitioner/okafor"
STRANGER = "Practitioner/brandt"
OFFICER = "Practitioner/privacy-office"


class StepError(Exception):
    """A step did not find what it should."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. `headers` are lower case and without those that change with time or request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON, decimals as they are spelt."""
        return json.loads(self.body, parse_float=str)


@dataclass(slots=True)
class Guide:
    """State of one tour."""

    running: Service
    messages: Path
    folder: Path
    session: aiohttp.ClientSession
    say: Callable[[str], None]
    patient: str = ""
    glucose: str = ""
    evidence: Path = field(default=Path())

    @property
    def base(self) -> str:
        """The FHIR base."""
        return self.running.config.base_url

    def tell(self, text: str) -> None:
        """Print a line of the tour."""
        self.say(f"   {text}")

    def expect(self, condition: bool, text: str) -> None:
        """Fail the step unless the condition holds. `text` says what should have been."""
        if not condition:
            raise StepError(text)

    def token(self, subject: str, *, scope: str = "user/*.rs", role: str = "physician") -> str:
        """Return a token as `hawsepipe token` prints it."""
        return issued_token(
            self.running.config,
            subject=subject,
            scope=scope,
            purpose="TREAT",
            roles=(role,),
            patient=None,
            now=system_clock(),
        )

    def run(self, line: str) -> None:
        """Print a command line of ours that works in any shell, also where the environment is not activated."""
        self.tell(f"$ {PROGRAM} {line}")

    def curl(self, path: str, subject: str = DOCTOR) -> None:
        """Print the line that repeats a read."""
        config = shlex.quote(str(self.running.config.path))
        self.tell(
            f'$ curl -s -H "Authorization: Bearer $({PROGRAM} token -c {config} --subject {subject} --role physician)"'
            f" '{self.base}/{path}'"
        )

    async def get(self, path: str, subject: str = DOCTOR) -> Answer:
        """Read something as somebody."""
        return await self._request("GET", path, self.token(subject), None)

    async def post(self, kind: str, resource: dict[str, Any]) -> Answer:
        """Create a resource as the privacy office."""
        token = self.token(OFFICER, scope="user/*.cruds", role="privacy-officer")
        return await self._request("POST", kind, token, json.dumps(resource).encode("utf-8"))

    async def search(self, path: str, subject: str = DOCTOR) -> list[dict[str, Any]]:
        """Return the resources that a search finds."""
        answer = await self.get(path, subject)
        self.expect(answer.status == 200, f"the search {path} answers 200, not {answer.status}")
        return [
            entry["resource"]
            for entry in answer.json.get("entry", [])
            if entry.get("search", {}).get("mode", "match") == "match"
        ]

    async def verify(self, evidence: Path) -> tuple[int, str]:
        """Run `hawsepipe verify` as an auditor would, in a process of its own, and return its status and output."""
        trust = self.running.config.data / "trust.json"
        self.run(f"verify {evidence} --trust {trust}")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hawsepipe", "verify", str(evidence), "--trust", str(trust),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode("utf-8")

    async def _request(self, method: str, path: str, token: str, body: bytes | None) -> Answer:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/fhir+json"}
        if body is not None:
            headers["Content-Type"] = "application/fhir+json"
        async with self.session.request(method, f"{self.base}/{path}", headers=headers, data=body) as response:
            kept = {
                name.lower(): value
                for name, value in response.headers.items()
                if name.lower() not in ("date", "x-request-id")
            }
            return Answer(response.status, kept, await response.read())
