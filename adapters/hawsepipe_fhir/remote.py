"""A FHIR server elsewhere, over HTTP: pages of Bundles, with a token, and with patience for what may pass.

Nothing follows an address away from the server: a token goes where the configuration says and nowhere else. Faults are
told by their kind; neither an address with its query nor a body of the server gets into one.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urljoin, urlsplit

import aiohttp

from hawsepipe import Clock, ConfigError, HawsepipeError, MessageError, Resource, decode
from hawsepipe_fhir import detection

_ACCEPT: Final = "application/fhir+json, application/json+fhir;q=0.9, application/json;q=0.8"
_LONGEST_WAIT: Final = 3600.0
_EARLY: Final = 30.0
"""Seconds before its end at which an access token is replaced."""


class RemoteTrouble(Exception):
    """The server did not do what it was asked. `event` names the kind of trouble, `wait` the seconds that it asked for;
    `expired` says that a page is gone and its search has to begin again.
    """

    def __init__(self, event: str, *, wait: float = 0.0, expired: bool = False) -> None:
        super().__init__(event)
        self.event = event
        self.wait = wait
        self.expired = expired


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, and the version of FHIR that its media type names."""

    body: Resource
    version: str | None


class Secret:
    """Something that only its owner knows, in a file (read anew each time, so that it may be replaced) or in the
    environment.
    """

    def __init__(self, key: str, settings: Mapping[str, Any], base: Path) -> None:
        """Raises ConfigError naming `key` when there is no such file or variable now."""
        self._path = base / settings["file"] if "file" in settings else None
        self._variable: str = settings.get("environment", "")
        try:
            self.value()
        except RemoteTrouble as error:
            place = "file" if self._path is not None else "environment"
            raise ConfigError(f"{key}.{place}", "there is nothing to be read") from error

    def value(self) -> str:
        """Return it. Raises RemoteTrouble when it is not there."""
        try:
            text = os.environ.get(self._variable, "") if self._path is None else self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RemoteTrouble("no_credentials") from error
        if not text.strip():
            raise RemoteTrouble("no_credentials")
        return text.strip()


class Remote:
    """One server. `close` lets go of its connections."""

    def __init__(self, settings: Mapping[str, Any], base: Path, clock: Clock) -> None:
        self.url: str = settings["url"].rstrip("/")
        self._origin = urlsplit(self.url)[:2]
        self._most: int = settings["page_bytes"]
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=settings["timeout_seconds"])
        # An object without any of its parts is one that the host filled in.
        self._token = Secret("token", settings["token"], base) if settings.get("token") else None
        self._client: Mapping[str, Any] | None = settings.get("client")
        self._secret = Secret("client.secret", self._client["secret"], base) if self._client else None
        self._granted: tuple[str, float] | None = None
        self._tls = _tls(settings.get("ca"), base)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def address(self, link: str) -> str:
        """Return the address of a link in a page. Raises RemoteTrouble when it leads to another server."""
        found = urljoin(f"{self.url}/", link)
        if urlsplit(found)[:2] != self._origin:
            raise RemoteTrouble("foreign_link")
        return found

    async def get(self, address: str) -> Answer:
        """Return what is at an address of this server. Raises RemoteTrouble."""
        for fresh in (False, True):
            headers = {"Accept": _ACCEPT, **await self._authorization(fresh=fresh)}
            status, content_type, body = await self._ask("GET", address, headers)
            if status != 401 or self._client is None or fresh:
                break
        if status != 200:
            raise RemoteTrouble(f"status_{status}", expired=status == 410)
        try:
            _, version = detection.essence(content_type)
            return Answer(decode(body), version)
        except MessageError as error:
            raise RemoteTrouble("unknown_version") from error
        except HawsepipeError as error:
            raise RemoteTrouble("unreadable") from error

    async def _authorization(self, *, fresh: bool) -> dict[str, str]:
        if self._token is not None:
            return {"Authorization": f"Bearer {self._token.value()}"}
        if self._client is None or self._secret is None:
            return {}
        now = asyncio.get_running_loop().time()
        if self._granted is None or fresh or now >= self._granted[1]:
            self._granted = await self._grant(self._client, self._secret.value(), now)
        return {"Authorization": f"Bearer {self._granted[0]}"}

    async def _grant(self, client: Mapping[str, Any], secret: str, now: float) -> tuple[str, float]:
        """Ask for a token by client credentials (RFC 6749, 4.4)."""
        form = {"grant_type": "client_credentials", **({"scope": client["scope"]} if "scope" in client else {})}
        pair = f"{quote_plus(client['id'])}:{quote_plus(secret)}".encode()  # RFC 6749, 2.3.1
        headers = {"Accept": "application/json", "Authorization": f"Basic {b64encode(pair).decode()}"}
        status, _, body = await self._ask("POST", client["token_url"], headers, form)
        if status != 200:
            raise RemoteTrouble(f"token_status_{status}")
        try:
            document = decode(body)
            token, lasts = document["access_token"], float(document.get("expires_in", 60))
        except (HawsepipeError, KeyError, TypeError, ValueError) as error:
            raise RemoteTrouble("token_unreadable") from error
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RemoteTrouble("token_unreadable")
        return token, now + max(lasts - _EARLY, 0.0)

    async def _ask(
        self, method: str, address: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        try:
            async with self._session.request(
                method, address, headers=headers, data=form, allow_redirects=False, ssl=self._tls
            ) as response:
                if response.status in (429, 503):
                    wait = _wait(response.headers.get("Retry-After", ""), self._clock())
                    raise RemoteTrouble("throttled", wait=wait)
                body = b""
                if response.status == 200:
                    chunks: list[bytes] = []
                    size = 0
                    async for chunk in response.content.iter_chunked(1 << 16):
                        size += len(chunk)
                        if size > self._most:
                            raise RemoteTrouble("page_too_large")
                        chunks.append(chunk)
                    body = b"".join(chunks)
                return response.status, response.headers.get("Content-Type", ""), body
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # The words of these name addresses with their queries, which may hold identifiers.
            raise RemoteTrouble("unreachable") from error


def _tls(ca: str | None, base: Path) -> ssl.SSLContext | bool:
    if ca is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(base / ca))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError("ca", "the file holds no certificate that can be read") from error


def _wait(text: str, now: datetime) -> float:
    """Return the seconds that a Retry-After asks for (RFC 9110, 10.2.3), an hour at most; 0 for none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(text)
        return min(max((moment - now).total_seconds(), 0.0), _LONGEST_WAIT)
    except (ValueError, TypeError):
        return 0.0
