"""Shows that what was in the sources is in the record: the sources are read anew, from the first byte.

Numbered steps, each with its finding; a load is verified when none has any.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from hawsepipe.errors import HawsepipeError
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import decode
from hawsepipe.migrate import report, sealing
from hawsepipe.migrate.comparison import compared
from hawsepipe.migrate.loader import Files, Root, task
from hawsepipe.migrate.plan import Held, Plan
from hawsepipe.migrate.records import FHIR
from hawsepipe.migrate.state import END, PLAN, Failure, Tally, chunks, noted
from hawsepipe.migrate.translation import Job, message, proof_id
from hawsepipe.model import Resource
from hawsepipe.store.contract import Store

_SHOWN: Final = 100
_LOCAL: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
_R4: Final = "R4 "


class Verification:
    """Verifies one load against `plan`, which was made of the sources just now; `found` is what it says of itself."""

    def __init__(
        self, store: Store, root: Root, load: str, plan: Plan, found: Mapping[str, Any], samples: int, seed: int
    ) -> None:
        self._store = store
        self._root = root
        self._load = load
        self._plan = plan
        self._found = found
        self._samples = samples
        self._seed = seed
        self._files = Files()
        self._dead: dict[tuple[str, str], Failure] = {}
        self._findings: list[str] = []
        self._told: dict[str, Any] = {}

    async def run(self) -> dict[str, Any]:
        """Return the report: `verified`, the findings, and what was compared."""
        try:
            tally = await self._chunks()
            await self._balance(tally)
            await self._anchored()
            await self._sampled()
        finally:
            self._files.close()
        return {
            "load": self._load,
            "verified": not self._findings,
            "findings": self._findings[:_SHOWN],
            "finding_count": len(self._findings),
            "seed": self._seed,
            **self._told,
        }

    async def _chunks(self) -> Tally:
        """1. The sources are those that were planned, and each chunk was noted with the root over its records."""
        planned = await noted(self._store, self._load, PLAN)
        if planned is None or planned["digest"] != self._found["digest"]:
            self._findings.append("1: the sources are not what they were when the load was planned")
        tally, count = Tally(), 0
        async for chunk in chunks(self._store, self._load):
            count += 1
            tally.join(chunk.tally)
            self._dead |= {(failure.source, failure.digest): failure for failure in chunk.failures}
            held = await asyncio.to_thread(self._plan.chunk, chunk.number)
            if self._root([it.digest for it in held]).hex() != chunk.root:
                self._findings.append(f"1: the records of chunk {chunk.number} are not those that were noted")
        if count != self._found["chunks"]:
            self._findings.append(f"1: {count} of {self._found['chunks']} chunks were loaded")
        return tally

    async def _balance(self, tally: Tally) -> None:
        """2. For each source and type: records = loaded + duplicate + dead."""
        rows = report.balance(self._found["counts"], tally)
        self._told["types"] = rows
        self._told["causes"] = dict(tally.causes)
        for row in rows:
            if not row["balanced"]:
                self._findings.append(f"2: {row['source']} {row['type']} does not add up")

    async def _anchored(self) -> None:
        """3. The Task of the load holds the roots of the sources, and its commitment is in the log."""
        end = await noted(self._store, self._load, END)
        version = await self._store.read("Task", sealing.task_id(self._load))
        content = decode(version.content) if version is not None and version.content is not None else {}
        held = {
            coding.get("code"): output.get("valueString")
            for output in content.get("output", ())
            for coding in output.get("type", {}).get("coding", ())
            if coding.get("system") == sealing.ROOT
        }
        roots: dict[str, str] = {}
        for source in self._found["counts"]:
            roots[source] = (await asyncio.to_thread(self._root, self._plan.digests(source))).hex()
            if held.get(source) != roots[source]:
                self._findings.append(f"3: the root of source {source} is not the one in the load's Task")
        self._told["roots"] = roots
        if version is None or end is None:
            self._findings.append("3: the load has not come to its end")
            return
        index = await self._store.leaf_index(version.commitment)
        self._told["task"] = version.versioned_reference
        self._told["leaf"] = index
        if index is None and not await self._store.in_outbox(version.commitment):
            self._findings.append("3: the Task of the load is not in the log")

    async def _sampled(self) -> None:
        """4. Records chosen with the seed are in the record, leaf by leaf, and their references lead where they did."""
        records = int(self._found["records"])
        chosen = random.Random(self._seed).sample(range(1, records + 1), min(self._samples, records))  # noqa: S311  a choice that can be made again
        leaves = {"compared": 0, "present": 0, "dead": 0, "dangling": 0}
        for number in sorted(chosen):
            held = await asyncio.to_thread(self._plan.record, number)
            if (held.source, held.digest.hex()) in self._dead:
                leaves["dead"] += 1
                continue
            await self._one(held, leaves)
        self._told["samples"] = {"chosen": len(chosen), **leaves}

    async def _one(self, held: Held, count: dict[str, int]) -> None:
        where = f"4: {held.source} record {held.number} ({held.type}, line {held.line})"
        body = await asyncio.to_thread(self._files.read, held)
        told = task(self._plan, held, body)
        proof = await self._proof(proof_id(told.source, told.place, sha256(body).digest()))
        if proof is None:
            self._findings.append(f"{where}: no Provenance names it")
            return
        places = [place for place in provenance.targets(proof) if place is not None]
        versions = [await self._store.vread(place.type, place.id, place.version) for place in places]
        if not places or any(version is None for version in versions):
            self._findings.append(f"{where}: what its Provenance names is not there")
            return
        label = str(proof.get("entity", [{}])[0].get("what", {}).get("display", ""))
        version = versions[0]
        if held.form != FHIR or not label.startswith(_R4) or len(versions) != 1 or version is None:
            count["present"] += 1  # what a conversion or a message becomes is not the same leaf by leaf
            return
        if version.content is None or provenance.says_unchanged(proof):
            count["present"] += 1
            return
        source = _resource(message(Job("", version.last_updated, ()), told).body)
        differences, references = compared(source, decode(version.content))
        count["compared"] += 1
        self._findings += [f"{where}: {it.path} {it.how}" for it in differences]
        for reference in references:
            if not await self._leads(held, reference.source, reference.stored):
                self._findings.append(f"{where}: {reference.path} leads somewhere else")
            elif reference.source == reference.stored and not reference.source.startswith("#"):
                count["dangling"] += 1

    async def _leads(self, held: Held, source: str, stored: str) -> bool:
        """Whether a stored reference leads to what the source's leads to; one that the source cannot follow stays or is
        made in the same way.
        """
        match = _LOCAL.fullmatch(source)
        if match is None:
            return source == stored
        target = await asyncio.to_thread(self._plan.named, held.source, match[1], match[2])
        if target is None or (target.source, target.digest.hex()) in self._dead:
            return stored.startswith(f"{match[1]}/") or stored == source
        digest = target.digest
        told = task(self._plan, target, b"")
        proof = await self._proof(proof_id(told.source, told.place, digest))
        places = [] if proof is None else [place for place in provenance.targets(proof) if place is not None]
        return any(place.reference == stored for place in places)

    async def _proof(self, id_: str) -> Resource | None:
        try:
            version = await self._store.read("Provenance", id_)
            if version is not None and version.content is not None:
                return decode(version.content)
        except HawsepipeError:
            return None
        return None


def _resource(body: bytes) -> Resource:
    content = decode(body)
    if content.get("resourceType") == "Bundle":
        found: Resource = content["entry"][0].get("resource", {})
        return found
    return content
