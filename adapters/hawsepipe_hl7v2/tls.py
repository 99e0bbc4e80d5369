"""TLS of a feed: the context its settings give, who a client's certificate is, and new files while it runs.

Every connection takes the context that is in force when it comes, so that a new certificate drops nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509

from hawsepipe import ConfigError

_log = structlog.get_logger("hawsepipe.feed")
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_SYSTEM = "system"
"""The authorities that the machine trusts."""
_BACKLOG = 1024
_BREATH = 0.05
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
        named = {key: settings[key] for key in keys if key in settings and settings[key] != _SYSTEM}
        self._files = Files({key: base / value for key, value in named.items()})
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


class Listener:
    """Accepts connections and takes each through its handshake, with the context that is in force when it comes.

    `protocol` makes what goes on after the handshake; `refused` gets the reason and the peer's address of one that came
    to nothing; `room` gets the number of handshakes under way and says whether one more may come in.
    """

    def __init__(
        self,
        identity: Identity,
        protocol: Callable[[], asyncio.Protocol],
        refused: Callable[[str, str], None],
        room: Callable[[int], bool],
    ) -> None:
        self._identity = identity
        self._protocol = protocol
        self._refused = refused
        self._room = room
        self._sockets: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen at every address of the host and return the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, _, _, address in dict.fromkeys(found):
            one = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
            one.setblocking(False)
            self._sockets.append(one)
            self._keep(self._accept(one))
        return int(self._sockets[0].getsockname()[1])

    def close(self) -> None:
        """Accept no more and give up the handshakes under way."""
        for task in self._tasks:
            task.cancel()
        for one in self._sockets:
            one.close()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError:
                # No more files, or a peer that was gone before it was met.
                await asyncio.sleep(_BREATH)
                continue
            peer = str(address[0]) if isinstance(address, tuple) else ""
            if self._room(len(self._tasks) - len(self._sockets)):
                self._keep(self._shake_hands(connection, peer))
            else:
                connection.close()
                self._refused("refused_connection", peer)

    async def _shake_hands(self, connection: socket.socket, peer: str) -> None:
        identity = self._identity
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol,
                connection,
                ssl=identity.context,
                ssl_handshake_timeout=identity.handshake_seconds,
            )
        except OSError as error:
            connection.close()
            self._refused(refusal_of(error), peer)


def certificate_of(transport: asyncio.BaseTransport) -> bytes | None:
    """Return the certificate (DER) that the peer has shown, None for none."""
    connection = transport.get_extra_info("ssl_object")
    shown: bytes | None = connection.getpeercert(binary_form=True) if connection is not None else None
    return shown


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Return the peer's address, empty when it is gone."""
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
