"""TLS of a feed: the context its settings give, who a client's certificate is, and new files while it runs.

Every connection takes the context that is in force when it comes, so that a new certificate drops nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import structlog
from cryptography import x509

from hawsepipe import ConfigError

_log = structlog.get_logger("hawsepipe.feed")
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PLAIN = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "UNKNOWN_PROTOCOL"})


@dataclass(frozen=True, slots=True)
class Client:
    """A certificate that is bound to the feed: its fingerprint or a name of it, and the senders that it stands for."""

    fingerprint: str
    name: str
    senders: frozenset[str]


@dataclass(frozen=True, slots=True)
class Files:
    """What TLS reads from disk, by the key of the settings that names it."""

    paths: Mapping[str, Path]

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file is replaced or written. Raises OSError."""
        found = [path.stat() for path in self.paths.values()]
        return tuple((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found)


class Identity:
    """A feed's own certificate and whom it trusts; `context` is what the next connection gets."""

    def __init__(self, settings: Mapping[str, Any], base: Path, name: str, *, server: bool = True) -> None:
        """Read the files. Raises ConfigError naming the key whose file does not do."""
        keys = ("certificate", "key", "client_ca", "revoked", "ca")
        self._files = Files({key: base / settings[key] for key in keys if key in settings})
        self._settings = settings
        self._server = server
        self._name = name
        self.clients = clients_of(settings.get("clients"))
        self.handshake_seconds: float = settings["handshake_seconds"]
        self._state: tuple[tuple[int, int, int], ...] = ()
        self.context = self._read()

    async def watch(self, changed: Callable[[bool], None]) -> None:
        """Look for new files until cancelled; `changed` hears whether they could be taken."""
        while True:
            await asyncio.sleep(self._settings["reload_seconds"])
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(self._files.state) == self._state:
                    continue
            try:
                self.context = await asyncio.to_thread(self._read)
            except ConfigError as error:
                # A key that does not fit its certificate yet: the old pair goes on until both are there.
                _log.error("new TLS files cannot be used", feed=self._name, location=f"tls.{error.key}")
                changed(False)
            else:
                _log.info("new TLS files are in use", feed=self._name)
                changed(True)

    def _read(self) -> ssl.SSLContext:
        paths = self._files.paths
        try:
            state = self._files.state()
        except OSError as error:
            missing = next((key for key, path in paths.items() if not path.is_file()), "certificate")
            raise ConfigError(missing, f"{paths[missing]} cannot be read") from error
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if self._server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _VERSIONS[self._settings["minimum"]]
        if "certificate" in paths:
            _certificate(context, paths)
        if self._server:
            context.verify_mode = ssl.CERT_REQUIRED if "client_ca" in paths else ssl.CERT_NONE
        trusted = "client_ca" if self._server else "ca"
        for key in (trusted, "revoked"):
            if key in paths:
                _locations(context, key, paths[key])
        if not self._server and "ca" not in paths:
            context.load_default_certs()
        if "revoked" in paths:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        self._state = state
        return context


def clients_of(entries: Sequence[Mapping[str, Any]] | None) -> tuple[Client, ...] | None:
    """Return the bound certificates of the settings; None when every one of the CA will do."""
    if entries is None:
        return None
    return tuple(
        Client(
            entry.get("fingerprint", "").replace(":", "").lower(),
            entry.get("name", ""),
            frozenset(entry.get("senders", ["*|*"])),
        )
        for entry in entries
    )


def bound(clients: tuple[Client, ...] | None, certificate: bytes | None) -> frozenset[str] | None:
    """Return the senders that a client's certificate (DER) stands for: None for all, empty for none at all.

    A name fits the common name of the subject, or a DNS name or URI of the subject's alternative names.
    """
    if clients is None:
        return None
    if certificate is None:
        return frozenset()
    fingerprint, names = hashlib.sha256(certificate).hexdigest(), names_of(certificate)
    fitting = [it for it in clients if it.fingerprint == fingerprint or (it.name and it.name in names)]
    return frozenset[str]().union(*(client.senders for client in fitting))


def names_of(certificate: bytes) -> frozenset[str]:
    """Return common names, DNS names and URIs of a certificate (DER)."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        found = {str(part.value) for part in parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)}
        with contextlib.suppress(x509.ExtensionNotFound):
            names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            found |= set(names.get_values_for_type(x509.DNSName))
            found |= set(names.get_values_for_type(x509.UniformResourceIdentifier))
    except ValueError:
        return frozenset()
    return frozenset(found)


def refusal_of(error: BaseException) -> str:
    """Name why a handshake failed, for counting."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "client_certificate"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _PLAIN:
            return "plain_on_tls_port"
        if "PEER_DID_NOT_RETURN" in reason or "CERTIFICATE" in reason:
            return "client_certificate"
        return "tls_version" if "PROTOCOL" in reason or "VERSION" in reason else "handshake"
    return "handshake"


class Greeter(asyncio.Protocol):
    """Takes a plain connection through its handshake and hands it on, with what came in the meantime.

    `greeted` gets the client's certificate (DER, None without one) and returns the protocol that goes on; `refused`
    gets the reason and the peer's address; `room` says whether one more may come in; `tasks` holds the handshakes.
    """

    def __init__(
        self,
        identity: Identity,
        greeted: Callable[[bytes | None], asyncio.Protocol],
        refused: Callable[[str, str], None],
        room: Callable[[], bool],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        self._identity = identity
        self._greeted = greeted
        self._refused = refused
        self._room = room
        self._tasks = tasks
        self._early = bytearray()
        self._ended = self._lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)
        if not self._room():
            self._refused("refused_connection", _peer(plain))
            plain.abort()
            return
        # Whatever comes belongs to the handshake.
        plain.pause_reading()
        task = asyncio.get_running_loop().create_task(self._shake_hands(plain))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def data_received(self, data: bytes) -> None:
        self._early += data

    def eof_received(self) -> None:
        self._ended = True

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True

    async def _shake_hands(self, plain: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure = await loop.start_tls(
                plain,
                self,
                self._identity.context,
                server_side=True,
                ssl_handshake_timeout=self._identity.handshake_seconds,
            )
        except (OSError, asyncio.CancelledError) as error:
            plain.abort()
            if isinstance(error, asyncio.CancelledError):
                raise
            self._refused(refusal_of(error), _peer(plain))
            return
        if secure is None or self._lost:
            return
        shown = secure.get_extra_info("ssl_object")
        protocol = self._greeted(shown.getpeercert(binary_form=True) if shown is not None else None)
        secure.set_protocol(protocol)
        protocol.connection_made(secure)
        if self._early:
            protocol.data_received(bytes(self._early))
        if self._ended:
            protocol.eof_received()


def _peer(transport: asyncio.Transport) -> str:
    """The peer's address. Known while the connection stands; empty after that."""
    name = transport.get_extra_info("peername")
    return str(name[0]) if isinstance(name, tuple) else ""


def _certificate(context: ssl.SSLContext, paths: Mapping[str, Path]) -> None:
    def no_password() -> str:
        raise ConfigError("key", f"{paths['key']} is encrypted; keep the key in a file that only this service reads")

    if "key" not in paths:
        raise ConfigError("key", "a certificate needs its key")
    try:
        context.load_cert_chain(paths["certificate"], paths["key"], password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError("key", f"{paths['key']} is not the key of the certificate") from error
        what = "certificate" if not _is_pem(paths["certificate"], b"CERTIFICATE-----") else "key"
        raise ConfigError(what, f"{paths[what]} is not PEM of a {what}") from error
    except OSError as error:
        raise ConfigError("key", f"{paths['key']} cannot be read ({error.strerror})") from error


def _locations(context: ssl.SSLContext, key: str, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(key, f"{path} is not PEM of what {key} asks for") from error


def _is_pem(path: Path, mark: bytes) -> bool:
    try:
        return mark in path.read_bytes()
    except OSError:
        return False
