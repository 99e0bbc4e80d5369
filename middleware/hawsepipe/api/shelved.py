"""Large terminology resources, read once and kept: a code system of 150,000 codes takes a second to go through.

A version never changes, so that it is kept by its commitment; who may see it is decided each time before it is looked
for here. What is large is read beside the event loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hawsepipe.fhir import codec
from hawsepipe.fhir.code_systems import CodeSystem, code_system
from hawsepipe.model import Resource, Version

_LARGE: Final = 32_768
"""Bytes from which on a resource is kept, and read in a thread."""

_MOST: Final = 64 * 1024 * 1024
"""Bytes of JSON that are kept at most; the resources themselves take several times as much."""


@dataclass(slots=True)
class _Kept:
    resource: Resource
    size: int
    system: CodeSystem | None = None


class Shelved:
    """Keeps what was read."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._names: dict[int, bytes] = {}
        self._size = 0

    async def resource(self, version: Version) -> Resource:
        """Return the content of a version. Nobody changes it."""
        content = version.content or b"{}"
        if len(content) < _LARGE:
            return codec.decode(content)
        if version.opening is None:  # not as it is stored, but as somebody gets it
            return await asyncio.to_thread(codec.decode, content)
        kept = self._kept.get(version.commitment)
        if kept is None:
            kept = _Kept(await asyncio.to_thread(codec.decode, content), len(content))
            self._keep(version.commitment, kept)
        else:
            self._kept.move_to_end(version.commitment)
        return kept.resource

    async def code_system(self, resource: Resource) -> CodeSystem:
        """Return a CodeSystem resource, read."""
        name = self._names.get(id(resource))
        kept = None if name is None else self._kept.get(name)
        if kept is None or kept.resource is not resource:
            return await asyncio.to_thread(code_system, resource) if _many(resource) else code_system(resource)
        if kept.system is None:
            kept.system = await asyncio.to_thread(_whole, resource)
        return kept.system

    def _keep(self, name: bytes, kept: _Kept) -> None:
        before = self._kept.pop(name, None)
        self._size += kept.size - (0 if before is None else before.size)
        if before is not None:
            self._names.pop(id(before.resource), None)
        self._kept[name] = kept
        self._names[id(kept.resource)] = name
        while self._size > _MOST and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._names.pop(id(oldest.resource), None)
            self._size -= oldest.size


def _many(resource: Resource) -> bool:
    concepts = resource.get("concept")
    return isinstance(concepts, list) and len(concepts) > 1_000


def _whole(resource: Resource) -> CodeSystem:
    system = code_system(resource)
    _ = system.children  # made here rather than on the loop by who asks first
    return system
