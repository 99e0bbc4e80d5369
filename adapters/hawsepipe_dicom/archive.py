"""The REST interface of an Orthanc archive: its changes, and a study without its pixels."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from hawsepipe import ConfigError
from hawsepipe_dicom.manifest import SERIES_TAGS, TAGS, Instance, Series, Study, picked

_CHUNK: Final = 1 << 18
_TOGETHER: Final = 4


class Trouble(Exception):
    """The archive cannot be read now; `event` says why in a word."""

    def __init__(self, event: str) -> None:
        super().__init__(event)
        self.event = event


class Gone(Exception):
    """What was asked for is not there any more."""


class Event(NamedTuple):
    """One change: its number, its type (`StableStudy`), and the archive's own id of what has changed."""

    number: int
    type: str
    id: str


class Archive:
    """One archive. The session is made at the first question."""

    def __init__(self, settings: Mapping[str, Any], base: Path) -> None:
        """Read the password and the authority. Raises ConfigError."""
        self.url: str = settings["url"].rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=settings["timeout_seconds"])
        self._whole: bool = settings["digest"] == "sha256"
        self._auth: aiohttp.BasicAuth | None = None
        if "user" in settings:
            self._auth = aiohttp.BasicAuth(settings["user"], _secret(settings["password"], base))
        self._tls: ssl.SSLContext | bool = True
        if "ca" in settings:
            try:
                self._tls = ssl.create_default_context(cafile=str(base / settings["ca"]))
            except (OSError, ssl.SSLError) as error:
                raise ConfigError("ca", "the authority cannot be read") from error
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def changes(self, since: int, most: int) -> tuple[list[Event], int, bool]:
        """Return what has changed after a number, the number to go on from, and whether that is all."""
        page = await self._json(f"/changes?since={since}&limit={most}")
        try:
            events = [Event(int(one["Seq"]), str(one["ChangeType"]), str(one["ID"])) for one in page["Changes"]]
            return events, int(page["Last"]), bool(page["Done"])
        except (TypeError, LookupError, ValueError) as error:
            raise Trouble("no_changes") from error

    async def parent(self, instance: str) -> str:
        """Return the study of an instance. Raises Gone."""
        return str((await self._json(f"/instances/{instance}/study"))["ID"])

    async def study(self, id: str) -> tuple[Study, frozenset[str]]:
        """Return a study and the archive's ids of its instances. Raises Gone, Trouble."""
        try:
            rows = await self._json(f"/studies/{id}/series")
            instances = await self._json(f"/studies/{id}/instances")
            if not instances:
                raise Gone
            first = await self._json(f"/instances/{instances[0]['ID']}/simplified-tags")
            limit = asyncio.Semaphore(_TOGETHER)
            made = await asyncio.gather(*(self._instance(row, limit) for row in instances))
            by_series: dict[str, list[Instance]] = {}
            for row, one in zip(instances, made, strict=True):
                by_series.setdefault(row["ParentSeries"], []).append(one)
            series = [
                Series(picked(row["MainDicomTags"], SERIES_TAGS), by_series[row["ID"]])
                for row in rows
                if row["ID"] in by_series
            ]
            # An instance of a series that came between the two questions: the next change tells of it.
            if len(series) != len(by_series):
                raise Trouble("changing")
            return Study(picked(first, TAGS), series), frozenset(str(row["ID"]) for row in instances)
        except (TypeError, LookupError) as error:
            raise Trouble("no_study") from error

    async def _instance(self, row: Mapping[str, Any], limit: asyncio.Semaphore) -> Instance:
        tags, id_ = row["MainDicomTags"], row["ID"]
        async with limit:
            sop_class = (await self._bytes(f"/instances/{id_}/metadata/SopClassUid")).decode("ascii", "replace").strip()
            if self._whole:
                digest = f"sha256:{await self._hashed(f'/instances/{id_}/file')}"
            else:
                told = (await self._bytes(f"/instances/{id_}/attachments/dicom/md5")).decode("ascii", "replace")
                digest = f"md5:{told.strip()}"
        number = str(tags.get("InstanceNumber", "")).strip()
        return Instance(str(tags["SOPInstanceUID"]).strip(" \0"), sop_class.strip("\0"), number, digest)

    async def _hashed(self, path: str) -> str:
        """Return the SHA-256 of a file; its bytes go by and are not kept."""
        digest = sha256()
        async with self._get(path) as response:
            _checked(response)
            async for chunk in response.content.iter_chunked(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()

    async def _json(self, path: str) -> Any:
        try:
            async with self._get(path) as response:
                _checked(response)
                return await response.json(content_type=None)
        except ValueError as error:
            raise Trouble("no_json") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Trouble("unreachable") from error

    async def _bytes(self, path: str) -> bytes:
        try:
            async with self._get(path) as response:
                _checked(response)
                body: bytes = await response.read()
                return body
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Trouble("unreachable") from error

    def _get(self, path: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, auth=self._auth)
        return self._session.get(self.url + path, ssl=self._tls, allow_redirects=False)


def _checked(response: aiohttp.ClientResponse) -> None:
    if response.status == 404:
        raise Gone
    if response.status in (401, 403):
        raise Trouble("refused")
    if response.status != 200:
        raise Trouble("failed")


def _secret(told: Mapping[str, str], base: Path) -> str:
    try:
        if "environment" in told:
            return os.environ[told["environment"]]
        return (base / told["file"]).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError("password", "the password cannot be read") from error
