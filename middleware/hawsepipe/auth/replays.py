"""Which client assertions were used: none is accepted twice, also not after a restart (RFC 7523, section 3)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import Final

from hawsepipe.errors import StoreError

_MOST: Final = 100_000


class Replays:
    """Remembers used assertions until they expire, in a file of its own (`<expiry> <digest>` a line, synced before
    use).
    """

    def __init__(self, path: Path) -> None:
        """Read what is known. Lines that a crash cut short are dropped: their assertion was not answered."""
        self._path = path
        self._used: dict[str, int] = {}
        self._lines = 0
        self._lock = asyncio.Lock()
        if path.exists():
            for line in path.read_text(encoding="ascii", errors="replace").splitlines():
                expires, _, digest = line.partition(" ")
                if expires.isdigit() and len(digest) == 64:
                    self._used[digest] = int(expires)
                self._lines += 1

    async def first_use(self, client: str, token_id: str, expires: int, now: int) -> bool:
        """Record a use until second `expires`; False when it was used before. Raises StoreError when it cannot be
        recorded.
        """
        digest = hashlib.sha256(f"{client}\n{token_id}".encode("utf-8", "surrogatepass")).hexdigest()
        async with self._lock:
            if self._used.get(digest, -1) >= now:
                return False
            if len(self._used) >= _MOST or self._lines >= 2 * _MOST:
                self._used = {known: last for known, last in self._used.items() if last >= now}
                if len(self._used) >= _MOST:
                    raise StoreError("too many client assertions at a time")
                await self._write("".join(f"{last} {known}\n" for known, last in self._used.items()), anew=True)
                self._lines = len(self._used)
            await self._write(f"{expires} {digest}\n", anew=False)
            self._used[digest] = expires
            self._lines += 1
            return True

    async def _write(self, text: str, *, anew: bool) -> None:
        try:
            await asyncio.to_thread(self._write_now, text, anew)
        except OSError as error:
            raise StoreError("a client assertion cannot be recorded") from error

    def _write_now(self, text: str, anew: bool) -> None:
        target = self._path.with_suffix(".new") if anew else self._path
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if anew else os.O_APPEND)
        with os.fdopen(os.open(target, flags, 0o600), "a", encoding="ascii") as file:
            if not anew and file.tell() and not _ends_with_newline(target):
                file.write("\n")
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if anew:
            target.replace(self._path)


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
