"""The keys of a data directory, and tokens signed with them."""

from __future__ import annotations

import contextlib
import os
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from hawsepipe.auth.issuer import Issuer, make_key
from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError, Unauthorized
from hawsepipe.intake.dead_letters import SCOPE
from hawsepipe.ledger.keys import signing_key

_KEYS = ("log.key", "issuer.key", "cursor.key")
_CURSOR_BYTES = 32


def make_keys(config: Config) -> None:
    """Make the keys that do not exist yet, each in a file of its own that only its owner can read."""
    folder = config.data / "keys"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signing_key(folder / "log.key")
    if not (folder / "issuer.key").exists():
        make_key(folder / "issuer.key", secrets.token_bytes)
    for name in ("cursor.key", "content.key"):
        _make_secret(folder / name)


def _make_secret(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_CURSOR_BYTES))
            file.flush()
            os.fsync(file.fileno())


def require_keys(config: Config, *, rotating: bool = False) -> Path:
    """Return the folder of the keys. Raises ConfigError naming the first that is missing; a service makes none.

    A log key made at the start would go on with a log that another one has signed. While a new log key waits to be put
    in its place only its rotation may go on.
    """
    folder = config.data / "keys"
    if not folder.is_dir():
        raise ConfigError("service.data", f"{folder} does not exist; `hawsepipe init` makes the keys")
    if (folder / "log.key.next").exists() and not rotating:
        raise ConfigError("service.data", "a new log key waits: run `hawsepipe ledger keys rotate` to its end")
    if not (config.data / "contents").exists():
        _make_secret(folder / "content.key")  # a data directory from before there was one
    for name in (*_KEYS, "content.key"):
        if not (folder / name).exists():
            raise ConfigError("service.data", f"{folder / name} is missing; put it back from a backup")
    return folder


def content_key(path: Path) -> bytes:
    """Return the 32 bytes that prove which contents were sent here. Raises ConfigError as `cursor_key`."""
    return cursor_key(path)


def cursor_key(path: Path) -> bytes:
    """Return the 32 bytes that authenticate paging links. Raises ConfigError when the file does not hold them."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError("service.data", f"{path} cannot be read") from error
    if len(key) != _CURSOR_BYTES:
        raise ConfigError("service.data", f"{path} does not hold {_CURSOR_BYTES} bytes")
    return key


def issuer(config: Config) -> Issuer:
    """Return the embedded issuer. Raises ConfigError when its key is missing or open to others."""
    return Issuer.read(config.data / "keys" / "issuer.key", f"{origin(config)}/auth", config.base_url)


def origin(config: Config) -> str:
    """`https://host:port` of the API as clients see it."""
    parts = urlsplit(config.base_url)
    return f"{parts.scheme}://{parts.netloc}"


def issued_token(
    config: Config,
    *,
    subject: str,
    scope: str,
    purpose: str | None,
    roles: Sequence[str],
    patient: str | None,
    now: datetime,
) -> str:
    """Return an access token signed with the issuer key of the data directory; it holds for five minutes.

    Raises ConfigError for what the service would refuse.
    """
    signer = issuer(config)
    token = signer.issue(
        subject=subject,
        client="hawsepipe-cli",
        scopes=scope.split(),
        token_id=str(uuid.uuid4()),
        now=now,
        roles=roles,
        purpose=purpose,
        patient=patient,
        tenant=config.tenant,
    )
    verifier = TokenVerifier(
        {signer.url: signer.keys()}, config.base_url, lambda: now, tenants=frozenset({config.tenant})
    )
    try:
        verifier.verify(token)
    except Unauthorized as error:
        raise ConfigError("token", error.text) from error
    return token


def operator_token(config: Config, now: datetime, subject: str = "Device/hawsepipe-cli") -> str:
    """Return a token for the operations routes. Raises ConfigError for a subject that is none."""
    return issued_token(config, subject=subject, scope=SCOPE, purpose=None, roles=(), patient=None, now=now)
