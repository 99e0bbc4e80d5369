"""Stored content, decoded."""

from __future__ import annotations

import asyncio
from typing import Final

from hawsepipe.errors import HawsepipeError, InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.model import Resource

LARGE: Final = 65_536
"""Bytes from which on content is gone through in a thread: the event loop is everybody's."""


async def opened(content: bytes) -> Resource:
    """Return a stored version's content, as `decoded`, beside the event loop if it is large."""
    return await asyncio.to_thread(decoded, content) if len(content) > LARGE else decoded(content)


def decoded(content: bytes) -> Resource:
    """Return a stored version's content.

    Raises HawsepipeError (500) for content that was not written by us as it is: no request can be at fault for it.
    """
    try:
        return codec.decode(content)
    except InvalidRequest as error:
        raise HawsepipeError("what is stored of a resource cannot be read") from error
