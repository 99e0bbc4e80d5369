"""The content of a Binary on its way in: a small one into the request, a large one part by part to where it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from hawsepipe.api.exchange import Request
from hawsepipe.contents.contract import Sink
from hawsepipe.contents.taking import Taking
from hawsepipe.errors import TooLarge

_PART: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Uploads:
    """Reads bodies; one may have `most` bytes."""

    taking: Taking
    most: int

    async def received(self, request: Request) -> Request:
        """Return the request with its body, or with what it became. Raises TooLarge, StoreError, and what the upload
        does. What is not kept in the end is forgotten.
        """
        assert request.upload is not None, "asked for an upload only"
        sink: Sink | None = None
        waiting, size = bytearray(), 0
        try:
            async for part in request.upload:
                size += len(part)
                if size > self.most:
                    raise TooLarge(f"a content may have {self.most} bytes")
                waiting += part
                if size > self.taking.bound and len(waiting) >= _PART:
                    sink = await self._sink(sink)
                    await asyncio.to_thread(sink.write, bytes(waiting))
                    waiting.clear()
            if size <= self.taking.bound:
                return replace(request, upload=None, body=bytes(waiting))
            sink = await self._sink(sink)
            await asyncio.to_thread(sink.write, bytes(waiting))
            stored = await asyncio.to_thread(sink.keep)
            return replace(request, upload=None, held=self.taking.held(stored))
        finally:
            if sink is not None:
                sink.drop()

    async def _sink(self, sink: Sink | None) -> Sink:
        return sink if sink is not None else await asyncio.to_thread(self.taking.contents.sink)
