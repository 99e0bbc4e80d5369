"""`hawsepipe send`: where a message goes, and what it takes for an acknowledgement."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hawsepipe.cli import main
from hawsepipe_conformance.feeds.certificates import Authority

HEAD = '[service]\nchannel = "a.example/log"\n[plugins]\nload = ["hl7v2"]\n'
HEAD += '[[translators]]\nname = "hl7v2"\nkind = "hl7v2"\n'


@contextmanager
def listener(answer: str = "AA", context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answer one message on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            connection, _ = server.accept()
            if context is not None:
                try:
                    connection = context.wrap_socket(connection, server_side=True)
                except OSError:
                    return
            with connection:
                while b"\x1c" not in connection.recv(65536):
                    pass
                connection.sendall(f"\x0bMSH|^~\\&\rMSA|{answer}|1\r\x1c\r".encode())

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def feed(port: int, name: str = "adt", more: str = "") -> str:
    return (
        f'[[feeds]]\nname = "{name}"\nkind = "mllp"\ntranslator = "hl7v2"\n'
        f'[feeds.settings]\nhost = "0.0.0.0"\nport = {port}\n{more}'
    )


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "one.hl7"
    path.write_text("MSH|^~\\&|A\nPID|1\n")
    return path


def send(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["send", *map(str, arguments)])


@pytest.mark.parametrize(("answer", "status"), [("AA", 0), ("CA", 0), ("AE", 1), ("AR", 1)])
def test_it_goes_to_the_feed_that_the_configuration_of_this_directory_names(
    file: Path, answer: str, status: int
) -> None:
    with listener(answer) as port:
        (file.parent / "hawsepipe.toml").write_text(HEAD + feed(port))
        result = send(file)
    assert (result.exit_code, f"MSA|{answer}|1" in result.stdout) == (status, True)
    assert f"to 127.0.0.1:{port}, which hawsepipe.toml names" in result.stderr


def test_a_target_that_is_told_goes_before_the_configuration(file: Path) -> None:
    (file.parent / "hawsepipe.toml").write_text(HEAD + feed(1))
    with listener() as port:
        assert send("--to", f"127.0.0.1:{port}", file).exit_code == 0


def test_of_several_feeds_one_is_named(file: Path) -> None:
    with listener() as port:
        (file.parent / "hawsepipe.toml").write_text(HEAD + feed(1) + feed(port, "lab"))
        several = send(file)
        assert (several.exit_code, "name one of them by --feed: adt, lab" in several.stderr) == (2, True)
        assert send("--feed", "lab", file).exit_code == 0
    unknown = send("--feed", "none", file)
    assert (unknown.exit_code, "there is no mllp feed none" in unknown.stderr) == (2, True)


def test_a_feed_that_speaks_tls_is_not_sent_to_in_the_clear(file: Path) -> None:
    tls = '[feeds.settings.tls]\ncertificate = "a.pem"\nkey = "a.key"\n'
    (file.parent / "other.toml").write_text(HEAD + feed(1, more=tls))
    result = send("--config", "other.toml", file)
    assert (result.exit_code, "speaks TLS" in result.stderr) == (2, True)


def test_it_speaks_tls_with_a_certificate_of_its_own(file: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    server, own = authority.issue("feed.example"), authority.issue("adt")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.load_cert_chain(server.certificate, server.key)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = ("--ca", authority.certificate, "--cert", own.certificate, "--key", own.key)
    with listener(context=context) as port:
        done = send(file, "--to", f"127.0.0.1:{port}", *mine, "--server-name", "feed.example")
        assert (done.exit_code, "MSA|AA|1" in done.output) == (0, True)
    with listener(context=context) as port:
        done = send(file, "--to", f"127.0.0.1:{port}", *mine, "--server-name", "other.example")
        assert done.exit_code == 1
        assert "ostname mismatch" in done.output
    wrong = send(
        file, "--to", "127.0.0.1:1", "--ca", authority.certificate, "--cert", own.certificate, "--key", server.key
    )
    assert (wrong.exit_code, "do not fit each other" in wrong.output) == (2, True)
    assert send(file, "--to", "127.0.0.1:1", "--cert", own.certificate).exit_code == 2
