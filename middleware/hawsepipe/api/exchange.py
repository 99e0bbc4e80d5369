"""HTTP as values: what came in and what goes out. Nothing here waits, and nothing here knows a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hawsepipe.fhir.contents import Held
from hawsepipe.model import Resource


@dataclass(frozen=True, slots=True)
class Request:
    """A request below the FHIR base.

    `segments` are the path's parts and `query` its parameters, both percent-decoded, in order; `headers` have
    lower-case names, repeated ones joined by `, `. `resource` is the body decoded, where a Bundle had it. `upload` is
    the body where it is not read yet, and `held` what it became where it was large.
    """

    method: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    resource: Resource | None = None
    upload: AsyncIterator[bytes] | None = None
    held: Held | None = None

    def header(self, name: str) -> str | None:
        """Return a header by its lower-case name."""
        return self.headers.get(name)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. For HEAD it is the answer to GET: the server leaves out the body and keeps its length.

    `updated` is the instant of the version that it is about, exactly, for an entry of a Bundle. A `stream` is sent
    after `body`, part by part, its length told before only where the headers have it; when it fails the connection is
    cut. Whoever sends it closes it.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    updated: datetime | None = None
    stream: AsyncGenerator[bytes, None] | None = None
