"""Random requests over every door, asked of two houses: one with what the requester may not see, one without.

    python -m hawsepipe_conformance.traces [--requests 10000] [--seed 1]

Every answer must be the same in status, headers and body. What differs by nature is put aside: the text of a cursor
(sealed), the name of an export (random), and the instant of the answer. A request that writes writes to both.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import quote

from hawsepipe.api.routes import TABLE, Route
from hawsepipe.consent.policy import ALL_NORMAL, PolicySettings
from hawsepipe.fhir import codec
from hawsepipe.model import Principal, Resource
from hawsepipe.ops import logs
from hawsepipe_conformance.houses import BASE, Answer, House, house
from hawsepipe_conformance.trace_world import CONSENTS, GONE, HIDDEN, IDS, SEARCHES, SEEN, TYPES, observation, patient

_NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
_CURSOR: Final = re.compile(rb"_cursor=[\w%-]+")
_JOB: Final = re.compile(rb"\$export/[0-9a-f-]{36}|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_CHANGING: Final = frozenset({"Date", "X-Request-Id"})
_TRIES: Final = 200

ANN: Final = Principal(
    subject="Practitioner/alice",
    client="ehr",
    tenant="main",
    scopes=frozenset({"user/*.cruds", "system/*.cruds"}),
    roles=frozenset({"physician"}),
    purpose="TREAT",
)


_SHAPES: Final = (
    "_total=accurate",
    "_summary=count",
    "_summary=true",
    "_elements=id",
    "_count=1",
    "_count=2",
    "_sort=_id",
    "_sort=-_lastUpdated",
    "_format=xml",
    "_pretty=true",
)


_PATCHES: Final = (
    b"[]",
    b'[{"op":"test","path":"/status","value":"final"}]',
    b'[{"op":"add","path":"/language","value":"en"}]',
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `follow`: the links to next pages are followed."""

    door: str
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    follow: bool = False


class Traces:
    """Draws requests of one seed, for each row of the table of routes."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.doors = [route for route in TABLE if route.run is not None]

    def drawn(self, number: int) -> Asked:
        """Return a request; one after the other they go through all doors."""
        route = self.doors[number % len(self.doors)]
        kind = self._kind(route)
        path = "/".join(self._part(part, kind) for part in route.pattern)
        query, follow = self._query(route, kind)
        body, media = self._body(route, kind)
        headers = {} if media is None else {"Content-Type": media}
        if route.method in {"PUT", "PATCH", "DELETE"} and self._one_in(3):
            headers["If-Match"] = f'W/"{self.random.choice((1, 2, 7))}"'
        if route.method == "PUT" and self._one_in(6):
            headers["If-None-Match"] = "*"
        if route.code == "create" and self._one_in(2):
            headers["If-None-Exist"] = self._criterion(kind)
        if route.method == "GET" and self._one_in(6):
            headers["If-None-Match"] = 'W/"1"'
        if route.code == "$export":
            headers["Prefer"] = "respond-async"
        asked = f"{path}?{query}" if query else path
        return Asked(f"{route.method} {'/'.join(route.pattern)}", route.method, asked, body, headers, follow)

    def _one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def _kind(self, route: Route) -> str:
        return self.random.choice(sorted(route.only)) if route.only is not None else self.random.choice(TYPES)

    def _part(self, part: str, kind: str) -> str:
        match part:
            case "{type}":
                return kind
            case "{id}":
                return self.random.choice(IDS[kind][: -1 if self._one_in(2) and len(IDS[kind]) > 1 else None])
            case "{vid}":
                return self.random.choice(("1", "2", "9"))
            case "{related}":
                return self.random.choice(("Observation", "*", "DiagnosticReport"))
            case "{job}" | "{file}":
                return "none"
            case _:
                return part

    def _criterion(self, kind: str) -> str:
        found = self.random.choice(SEARCHES.get(kind, ("_id=none",)))
        return "_id=none" if found.startswith(("_include", "_revinclude")) else quote(found, safe="=:|,&$")

    def _query(self, route: Route, kind: str) -> tuple[str, bool]:
        pick = self.random.choice
        match route.code:
            case "search-type" | "search-system" if route.method == "GET":
                some = SEARCHES.get(kind, ()) if route.code == "search-type" else ("_type=Patient,Observation",)
                parts = [pick(some)] if some else []
                if some and self._one_in(3):
                    parts.append(pick(some))
                parts += self.random.sample(_SHAPES, self.random.choice((0, 1, 2)))
                named: dict[str, str] = {part.partition("=")[0]: part for part in parts}
                return quote("&".join(named.values()), safe="=:|,&$"), "_count" in named
            case "update" | "patch" | "delete" if route.conditional:
                return self._criterion(kind), False
            case "history-system" | "history-type" | "history-instance":
                return pick(("", "_count=2", "_since=2026-01-15T00:00:00Z", "_at=2026-02-20")), self._one_in(2)
            case "$lastn":
                return f"patient={pick(IDS['Patient'])}&category=laboratory", False
            case "$lookup" | "$validate-code":
                return "system=http://example.org/secret&url=http://example.org/secret&code=a", False
            case "$export":
                return "_type=Observation,Patient", False
            case "$expand":
                return "url=http://example.org/secret?fhir_vs", False
            case "$translate" | "$subsumes":
                return "system=http://example.org/secret&code=a&codeA=a&codeB=a", False
            case _:
                return "", False

    def _body(self, route: Route, kind: str) -> tuple[bytes | None, str | None]:
        if route.method == "PATCH":
            return self.random.choice(_PATCHES), "application/json-patch+json"
        if route.method not in {"POST", "PUT"}:
            return None, None
        if route.pattern[-1:] == ("_search",):
            some = SEARCHES.get(kind, ("_id=none",)) if route.code == "search-type" else ("_type=Patient,Location",)
            form = quote(self.random.choice(some), safe="=:|,&$")
            return form.encode(), "application/x-www-form-urlencoded"
        if not route.pattern:
            return codec.encode(self._bundle()), "application/fhir+json"
        if route.pattern[-1].startswith("$"):
            return codec.encode(self._parameters(route, kind)), "application/fhir+json"
        return codec.encode(self._resource(kind)), "application/fhir+json"

    def _parameters(self, route: Route, kind: str) -> Resource:
        parts: list[Mapping[str, Any]] = []
        if route.code == "$match":
            family = self.random.choice(("Zebrasecret", "Lindqvist"))
            parts.append({"name": "resource", "resource": patient("any", family)})
        elif route.code == "$lastn":
            parts.append({"name": "patient", "valueString": self.random.choice(IDS["Patient"])})
        elif route.code == "$validate":
            parts.append({"name": "resource", "resource": self._resource(kind)})
        elif route.code in {"$meta-add", "$meta-delete"}:
            parts.append({"name": "meta", "valueMeta": {"tag": [{"system": "urn:tag", "code": "a"}]}})
        return {"resourceType": "Parameters", **({"parameter": parts} if parts else {})}

    def _resource(self, kind: str) -> Resource:
        identity = self.random.choice(IDS[kind])
        who = self.random.choice(IDS["Patient"])
        if kind == "Patient":
            return patient(identity, self.random.choice(("Zebrasecret", "Lindqvist")))
        target = {"reference": f"Observation/{self.random.choice(IDS['Observation'])}"}
        if kind == "Observation":
            more = {"derivedFrom": [target]} if self._one_in(2) else {}
            return observation(identity, who, self.random.choice(("2345-7", "72133-2")), 4, **more)
        found = next((it for it in (*SEEN, *HIDDEN) if it["resourceType"] == kind), {"resourceType": kind})
        plain = {name: value for name, value in found.items() if name != "meta"}
        subject = {"subject": {"reference": f"Patient/{who}"}} if "subject" in plain else {}
        return {**plain, "id": identity, **subject}

    def _bundle(self) -> Resource:
        entries: list[Mapping[str, Any]] = []
        for _ in range(self.random.choice((1, 2, 3))):
            kind = self.random.choice(TYPES)
            identity = self.random.choice(IDS[kind])
            method = self.random.choice(("GET", "GET", "POST", "PUT", "DELETE"))
            url = kind if method == "POST" else f"{kind}/{identity}"
            if method == "GET" and self._one_in(2):
                url = f"{kind}?{self._criterion(kind)}"
            entry: dict[str, Any] = {"request": {"method": method, "url": url}}
            if method in {"POST", "PUT"}:
                entry["resource"] = {**self._resource(kind), "id": identity}
            entries.append(entry)
        return {"resourceType": "Bundle", "type": self.random.choice(("batch", "transaction")), "entry": entries}


@asynccontextmanager
async def twins(folder: Path) -> AsyncIterator[tuple[House, House]]:
    """Open both houses, one with what is hidden and one without, at one instant."""
    settings = PolicySettings(default_policy=ALL_NORMAL, base_url=BASE)
    async with house(folder / "whole", settings, _NOW) as whole, house(folder / "twin", settings, _NOW) as twin:
        for one in (whole, twin):
            instant = _NOW - timedelta(days=30)
            await one.put(CONSENTS, instant)
            for resource in SEEN:
                instant += timedelta(hours=1)
                await one.put([resource], instant)
                if one is whole:
                    for hidden in HIDDEN[::3] if resource is SEEN[2] else ():
                        await one.put([hidden], instant + timedelta(minutes=1))
            if one is whole:
                await one.put(HIDDEN, instant + timedelta(minutes=2))
                await one.put(GONE, instant + timedelta(minutes=3))
                for resource in GONE:
                    await one.delete(resource["resourceType"], resource["id"], instant + timedelta(minutes=4))
        yield whole, twin


async def compared(houses: tuple[House, House], asked: Asked, number: int) -> str | None:
    """Ask both; return what differs, None if nothing does. The clock stands at one instant for the request."""
    for one in houses:
        one.clock.now = _NOW + timedelta(seconds=2 * number)
    answers = [await _followed(one, asked) for one in houses]
    left, right = ([_normal(it) for it in several] for several in answers)
    if left == right:
        return None
    return f"{asked.method} {asked.path} {asked.headers or ''}\n  with    {left}\n  without {right}"[:4000]


async def _followed(one: House, asked: Asked) -> list[Answer]:
    found = [await one.ask(ANN, asked.method, asked.path, body=asked.body, headers=asked.headers)]
    if found[0].status == 201 and "Location" in found[0].headers:
        # What was written is read back: it must be there for its maker whoever is hidden.
        made = found[0].headers["Location"].removeprefix(BASE).partition("/_history")[0]
        found.append(await one.ask(ANN, "GET", made))
    if found[0].status == 202:
        found += [it async for it in _exported(one, found[0].headers["Content-Location"].removeprefix(BASE))]
    while asked.follow and len(found) < 6 and found[-1].status == 200 and found[-1].body.startswith(b"{"):
        links = [it["url"] for it in found[-1].resource.get("link", ()) if it["relation"] == "next"]
        if not links:
            break
        found.append(await one.ask(ANN, "GET", links[0].removeprefix(BASE)))
    return found


async def _exported(one: House, status: str) -> AsyncIterator[Answer]:
    """Yield what an export gives: its manifest, its files, and the answer when it is taken away."""
    for _ in range(_TRIES):
        answer = await one.ask(ANN, "GET", status)
        if answer.status != 202:
            break
        await asyncio.sleep(0.02)
    yield answer
    for file in (answer.resource or {}).get("output", ()):
        yield await one.ask(ANN, "GET", file["url"].removeprefix(BASE))
    yield await one.ask(ANN, "DELETE", status)


def _normal(answer: Answer) -> tuple[int, list[tuple[str, bytes]], bytes]:
    def plain(text: bytes) -> bytes:
        return _JOB.sub(b"*", _CURSOR.sub(b"_cursor=*", text))

    headers = [(name, plain(value.encode())) for name, value in sorted(answer.headers.items()) if name not in _CHANGING]
    return answer.status, headers, plain(answer.body)


async def run(requests: int, seed: int, folder: Path, told: Callable[[str], None]) -> dict[str, int]:
    """Ask so many requests; tell each difference. Return how many were asked of each door."""
    traces, counts = Traces(seed), dict[str, int]()
    async with twins(folder) as houses:
        for number in range(requests):
            asked = traces.drawn(number)
            counts[asked.door] = counts.get(asked.door, 0) + 1
            difference = await compared(houses, asked, number)
            if difference is not None:
                told(difference)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and compare; return the exit status: 1 when an answer tells of something hidden."""
    parser = argparse.ArgumentParser(prog="python -m hawsepipe_conformance.traces", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    logs.configure("critical", "json")
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        counts = asyncio.run(run(options.requests, options.seed, Path(folder), found.append))
    print(*found, sep="\n")
    print(f"{sum(counts.values())} requests over {len(counts)} doors: {len(found)} answers differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
