"""What becomes of the specification's examples: `python conformance/bench/examples.py PACKAGE.tgz BASE TOKEN [COUNT]`.

PACKAGE.tgz is the package `hl7.fhir.r4.examples` of FHIR's package registry (or any other of R4 resources), BASE a FHIR
server's address, TOKEN an access token that may write. Each example is created, read as JSON and as XML, and compared
with what was sent, id and meta aside: as JSON byte for byte when written anew (the same elements in the same order,
decimals as they were spelt), as XML without the order of members, which attributes do not keep. Prints how many came
back as they were, and each that did not; what the server refuses is told with its reason. `not shown` is what was
stored and is hidden from the very client: consent says who sees data that name no patient where they should.
"""

from __future__ import annotations

import asyncio
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from hawsepipe.fhir import codec, xml_codec

_AT_ONCE = 16
_GIVEN = frozenset({"id", "meta", "resourceType"})
"""What the server gives a resource, or puts in front."""


def examples(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of each resource in a package."""
    with tarfile.open(package) as archive:
        for member in archive:
            name = Path(member.name).name
            held = archive.extractfile(member) if name.endswith(".json") else None
            if held is not None and name not in {"package.json", ".index.json"}:
                yield name, held.read()


class Client:
    """One server, with a token."""

    def __init__(self, session: aiohttp.ClientSession, base: str, token: str) -> None:
        self._session = session
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"}

    async def round_trip(self, content: bytes) -> str:
        """Return what became of an example: `same`, or how it differs, or why it was refused."""
        sent = codec.decode(content)
        headers = {**self._headers, "Content-Type": "application/fhir+json", "Prefer": "return=minimal"}
        url = f"{self._base}/{sent['resourceType']}"
        async with self._session.post(url, data=content, headers=headers) as answer:
            if answer.status != 201:
                told = (await answer.json(content_type=None)).get("issue", [{}])[0]
                return f"refused: {answer.status} {told.get('diagnostics', '')} {told.get('expression', '')}"
            place = answer.headers["Location"].partition("/_history")[0]
        status, read = await self._read(place, "application/fhir+json")
        if status in (404, 410):
            return "not shown"
        if _plain(codec.decode(read)) != _plain(sent):
            return "differs as JSON"
        _, read = await self._read(place, "application/fhir+xml")
        if _plain(_sorted(xml_codec.decode(read))) != _plain(_sorted(sent)):
            return "differs as XML"
        return "same"

    async def _read(self, place: str, kind: str) -> tuple[int, bytes]:
        async with self._session.get(place, headers={**self._headers, "Accept": kind}) as answer:
            return answer.status, await answer.read()


def _plain(resource: dict[str, Any]) -> bytes:
    """Return a resource's bytes without what the server gives it: order and spelling of numbers count."""
    return codec.encode({name: value for name, value in resource.items() if name not in _GIVEN})


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(it) for it in value] if isinstance(value, list) else value


async def run(package: Path, base: str, token: str, count: int) -> int:
    """Send examples and print what became of them; return how many came back other than they were sent."""
    told: Counter[str] = Counter()
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession() as session:
        client = Client(session, base, token)

        async def one(name: str, content: bytes) -> None:
            async with gate:
                found = await client.round_trip(content)
            told[found.partition(":")[0]] += 1
            if found != "same":
                print(f"{name}: {found}")

        waiting = [one(name, content) for name, content in examples(package)]
        await asyncio.gather(*waiting[:count])
        for rest in waiting[count:]:
            rest.close()
    print(dict(told))
    return sum(number for what, number in told.items() if what.startswith("differs"))


if __name__ == "__main__":
    most = int(sys.argv[4]) if len(sys.argv) > 4 else sys.maxsize
    sys.exit(min(1, asyncio.run(run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], most))))
