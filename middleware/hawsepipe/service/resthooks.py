"""Calls the endpoints of subscriptions, and nothing that only seems to be one.

An address is below an allowed prefix (`subscriptions.terms`). Here its name is resolved once, by the connection itself,
and each of its addresses must be public unless the house says that private ones will do. Redirects are not followed,
proxies of the environment not used, and of an answer nothing is read but its status.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from hawsepipe.subscriptions.engine import Failed

_TRANSLATED: Final = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 addresses that lead to IPv4 ones, whichever these are."""


def public(address: str) -> bool:
    """Say whether an address is one of the public network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is not None:
            return public(str(inner))
        if found.teredo is not None or any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved


class _Guarded(AbstractResolver):
    """Resolves names, and refuses one of whose addresses any is not public."""

    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        if not all(public(it["host"]) for it in found):
            raise OSError("the name leads to an address that is not public")
        return found

    async def close(self) -> None:
        await self._inner.close()


class RestHooks:
    """Implements `subscriptions.engine.Channel`. Close it in the end."""

    def __init__(self, *, private: bool = False, resolver: AbstractResolver | None = None) -> None:
        """`private`: addresses that are not public will do."""
        self._private = private
        inner = resolver or ThreadedResolver()
        self._resolver = inner if private else _Guarded(inner)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Sequence[tuple[str, str]], body: bytes, seconds: float) -> None:
        """See `Channel.send`: anything but a 2xx in time is a failure."""
        host = urlsplit(url).hostname or ""
        if not self._private and _literal(host) and not public(host):
            raise Failed("the endpoint's address is not public")
        try:
            async with self._opened().post(
                url,
                data=body,
                headers=[*headers, ("Content-Type", "application/fhir+json")],
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise Failed(f"the endpoint answers {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Failed(f"the endpoint cannot be reached ({type(error).__name__})") from error

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(resolver=self._resolver, use_dns_cache=False, limit=32)
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            )
        return self._session


def _literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
