"""`translate`: what messages become, without a service."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import click

from hawsepipe.cli.acceptance import Acceptance
from hawsepipe.cli.findings import Findings
from hawsepipe.cli.printing import Output
from hawsepipe.cli.sources import NO_FILE, Bar, Source, UnreadableError, progress, sources
from hawsepipe.cli.streams import ending, tell, writing
from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import MessageError
from hawsepipe.fhir import bundle
from hawsepipe.hooks import Advising, Reader, Translator
from hawsepipe.model import Issue, Piece, RawMessage, Severity
from hawsepipe.service import kinds

_NOTHING = Issue(Severity.ERROR, "structure", "", "there is no message in it")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Take the translator and its settings from this configuration. Without it ./hawsepipe.toml counts if it is"
    " there and has that translator, so that ids are those of the service; else the defaults hold.",
)
@click.option("--translator", "name", default="hl7v2", show_default=True, help="The translator's name.")
@click.option(
    "--overlay",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A directory with overlays: what is special about single senders (docs/overlays.md).",
)
@click.option(
    "--timezone", help="The IANA zone of times without an offset, such as Europe/Berlin; an overlay's goes before it."
)
@click.option(
    "--values",
    type=click.Choice(["strict", "lenient"]),
    help="What becomes of a value that is not of the type that it is said to be (NM `82,5`): an error, or kept as text."
    " The default is what the feeds of the configuration do, without one what a feed does: strict.",
)
@click.option(
    "--issues",
    "issues_path",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write findings to this file, an OperationOutcome a line and message, instead of to standard error.",
)
@click.option("--explain", is_flag=True, help="Say which v2 field wrote which element instead of printing the bundle.")
@click.option("--strict", is_flag=True, help="Check messages against the definitions of their version, too.")
def translate(
    paths: tuple[Path, ...],
    config_path: Path | None,
    name: str,
    overlay: Path | None,
    timezone: str | None,
    values: str | None,
    issues_path: Path | None,
    explain: bool,
    strict: bool,
) -> None:
    """Translate messages and print a FHIR transaction Bundle for each; several are a line each (NDJSON).

    PATH is a file, a directory (all files below it) or - for standard input. A file may hold several messages, a batch
    or MLLP frames, and be of any size. Findings go to standard error, each with its place in the message. Exit status
    0 when there was no error, 1 when something was found (in a message, or a file that is empty, incomplete or cannot
    be read), 2 when nothing could be read or written, 130 when it was stopped, 141 when nobody read on.
    """
    config = read(config_path) if config_path else _here(name)
    more = {} if overlay is None else {"overlays": str(overlay.resolve())}
    if timezone is not None:
        more["timezone"] = timezone
    usual = {"values": _values(name, config)}
    if values is not None:
        more["values"] = values
    opening = kinds.translator(name, config, system_clock, more, usual)
    with ending():
        status = _all(paths, opening, issues_path, explain=explain, strict=strict, advised=overlay is not None)
    sys.exit(status)


def _all(
    paths: tuple[Path, ...],
    opening: AbstractAsyncContextManager[Translator],
    issues_path: Path | None,
    *,
    explain: bool,
    strict: bool,
    advised: bool,
) -> int:
    """Translate everything; return the exit status. Raises UnwritableError."""
    with ExitStack() as stack:
        file = None
        if issues_path is not None:
            with writing(str(issues_path)):
                # Without a buffer, so that what cannot be written is known when it is.
                file = stack.enter_context(issues_path.open("wb", buffering=0))
        findings, output = Findings(file), Output(explain=explain)
        # Nothing in here waits for anything, so a task could not be cancelled: an interrupt has to come as it is.
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        run = _run(sources(paths), opening, findings, output, Acceptance(), strict=strict, advised=advised)
        some = loop.run_until_complete(run)
        single = output.finish()
    if single is not None:
        findings.show("", single[1])
    findings.summary(single[0] if single is not None else None)
    return 2 if not some else 1 if findings.failed else 0


def _here(name: str) -> Config | None:
    """Return the configuration of this directory when it has the translator; say that it is taken."""
    path = Path("hawsepipe.toml")
    if not path.is_file():
        return None
    config = read(path)
    if not any(instance.name == name for instance in config.translators):
        return None
    tell(f"with the settings of {path}")
    return config


def _values(name: str, config: Config | None) -> str:
    """Return `accept.values` of the feeds of a translator; strict, as without the setting, unless all are lenient."""
    feeds = [feed for feed in config.feeds if feed.translator == name] if config is not None else []
    told = {feed.settings.get("accept", {}).get("values", "strict") for feed in feeds}
    return "lenient" if told == {"lenient"} else "strict"


async def _run(
    found: list[Source],
    opening: AbstractAsyncContextManager[Translator],
    findings: Findings,
    output: Output,
    acceptance: Acceptance,
    *,
    strict: bool,
    advised: bool,
) -> bool:
    """Translate all files; return whether any could be read."""
    some = False
    async with opening as translator:
        for told in translator.advice if advised and isinstance(translator, Advising) else ():
            tell(f"warning: {told.key}: {told.reason}")
        # The compiled tables stay for good, and what a message leaves behind has no cycles worth looking for often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        with progress(found) as bar:
            for source in found:
                if source.empty:
                    findings.broken(source.name, [NO_FILE])
                    some = True
                    continue
                try:
                    _file(source, bar, translator, findings, output, acceptance, strict=strict)
                    some = True
                except UnreadableError as error:
                    some = some or error.begun
                    findings.broken(source.name, [Issue(Severity.ERROR, "structure", "", str(error))])
    return some


def _file(
    source: Source,
    bar: Bar,
    translator: Translator,
    findings: Findings,
    output: Output,
    acceptance: Acceptance,
    *,
    strict: bool,
) -> None:
    """Translate all messages of a file."""
    media_type = min(translator.media_types)
    empty = True
    for piece in _pieces(bar.chunks(source), translator):
        place = f"{source.name}@{piece.offset}"
        if not piece.body:
            findings.broken(place, piece.issues)
            continue
        empty = False
        message = RawMessage("file", system_clock(), media_type, piece.body)
        try:
            translation = translator.read(message) if isinstance(translator, Reader) else translator.translate(message)
            broken = translator.check(message) if strict and isinstance(translator, Reader) else ()
        except MessageError as error:
            findings.broken(place, [Issue(Severity.ERROR, error.cause, error.location, error.reason)])
            continue
        translation = acceptance.checked(translation)
        issues = (*piece.issues, *translation.issues, *broken)
        findings.message(place, translation, issues)
        if isinstance(translator, Reader):
            sender = translation.label.rpartition(" from ")[2]
            for issue in translation.issues:
                if issue.cause == "code" and translator.coded(issue.location):
                    findings.code(sender, issue.location, issue.text, _code(translator, message, issue.location))
            findings.names(sender, translation, translator.coded)
            made = translator.bundle(replace(translation, issues=(*piece.issues, *translation.issues)))
        else:
            made = bundle.transaction(translation.changes)
        for early in output.add(place, translation, made, issues):
            findings.show(*early)
    if empty:
        findings.broken(source.name, [_NOTHING])


def _code(reader: Reader, message: RawMessage, location: str) -> str:
    """Return a code with its system, as sent (`X^99LAB`)."""
    code, system = reader.value(message, location), ""
    if location.endswith(".1"):
        system = reader.value(message, f"{location[:-2]}.3")
    return f"{code}^{system}" if system else code


def _pieces(chunks: Iterable[bytes], translator: Translator) -> Iterator[Piece]:
    if isinstance(translator, Reader):
        yield from translator.split(chunks)
    else:
        body = b"".join(chunks)
        if body.strip():
            yield Piece(0, body)
