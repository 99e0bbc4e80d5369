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
import msgspec

from hawsepipe.cli.acceptance import Acceptance
from hawsepipe.cli.findings import Findings
from hawsepipe.cli.sources import Bar, Source, UnreadableError, progress, sources
from hawsepipe.clock import system_clock
from hawsepipe.config import Config, read
from hawsepipe.errors import MessageError
from hawsepipe.fhir import bundle, codec
from hawsepipe.hooks import Advising, Reader, Translator
from hawsepipe.model import Issue, Piece, RawMessage, Resource, Severity, Translation
from hawsepipe.service import kinds

_NOTHING = Issue(Severity.ERROR, "structure", "", "there is no message in it")


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path, exists=True, allow_dash=True)
)
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
    0 when no message had an error, 1 when one had.
    """
    config = read(config_path) if config_path else _here(name)
    more = {} if overlay is None else {"overlays": str(overlay.resolve())}
    if timezone is not None:
        more["timezone"] = timezone
    usual = {"values": _values(name, config)}
    if values is not None:
        more["values"] = values
    with ExitStack() as stack:
        file = stack.enter_context(issues_path.open("wb")) if issues_path is not None else None
        findings, output = Findings(file), _Output(explain=explain)
        opening = kinds.translator(name, config, system_clock, more, usual)
        advised = overlay is not None
        asyncio.run(_run(sources(paths), opening, findings, output, Acceptance(), strict=strict, advised=advised))
    single = output.finish()
    if single is not None:
        findings.show("", single[1])
    findings.summary(single[0] if single is not None else None)
    if findings.failed:
        sys.exit(1)


def _here(name: str) -> Config | None:
    """Return the configuration of this directory when it has the translator; say that it is taken."""
    path = Path("hawsepipe.toml")
    if not path.is_file():
        return None
    config = read(path)
    if not any(instance.name == name for instance in config.translators):
        return None
    click.echo(f"with the settings of {path}", err=True)
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
    output: _Output,
    acceptance: Acceptance,
    *,
    strict: bool,
    advised: bool,
) -> None:
    async with opening as translator:
        for told in translator.advice if advised and isinstance(translator, Advising) else ():
            click.echo(f"warning: {told.key}: {told.reason}", err=True)
        # The compiled tables stay for good, and what a message leaves behind has no cycles worth looking for often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 50)
        with progress(found) as bar:
            for source in found:
                try:
                    _file(source, bar, translator, findings, output, acceptance, strict=strict)
                except UnreadableError as error:
                    findings.broken(source.name, [Issue(Severity.ERROR, "structure", "", str(error))])


def _file(
    source: Source,
    bar: Bar,
    translator: Translator,
    findings: Findings,
    output: _Output,
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


_Shown = tuple[str, tuple[Issue, ...]]
_LOUD = frozenset({Severity.WARNING, Severity.ERROR, Severity.FATAL})


class _Output:
    """Prints one message for people, several for machines: the first waits for the second."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain
        self._first: tuple[str, Translation, Resource, tuple[Issue, ...]] | None = None
        self._several = False

    def add(self, place: str, translation: Translation, made: Resource, issues: tuple[Issue, ...]) -> Iterator[_Shown]:
        """Take what a message became; yield what is to be said of it now: of several messages not the small things."""
        if self._first is None and not self._several:
            self._first = place, translation, made, issues
            return
        if self._first is not None:
            first, self._first, self._several = self._first, None, True
            yield self._line(*first)
        yield self._line(place, translation, made, issues)

    def finish(self) -> tuple[str, tuple[Issue, ...]] | None:
        """Print the only message; return its label and issues, None when there were several or none."""
        if self._first is None:
            return None
        _, translation, made, issues = self._first
        if self._explain:
            _explain(translation)
        else:
            click.echo(msgspec.json.format(codec.encode(made), indent=2).decode("utf-8"))
        return translation.label, issues

    def _line(self, place: str, translation: Translation, made: Resource, issues: tuple[Issue, ...]) -> _Shown:
        if self._explain:
            click.echo(f"{place} {translation.label}")
            _explain(translation)
        else:
            sys.stdout.buffer.write(codec.encode(made) + b"\n")
        return place, tuple(issue for issue in issues if issue.severity in _LOUD)


def _explain(translation: Translation) -> None:
    """Print where each value came from, resource by resource."""
    sources: dict[str, list[tuple[str, str]]] = {}
    for entry in translation.trail:
        sources.setdefault(entry.resource, []).append((entry.path, entry.source))
    names = [(change.method.value, f"{change.type}/{change.id}") for change in translation.changes]
    if translation.header is not None:
        names.insert(0, ("header", f"MessageHeader/{translation.header['id']}"))
    for method, reference in [*names, ("told", "Provenance")]:
        if method != "told" or reference in sources:
            click.echo(f"{method} {reference}")
        for path, source in sources.get(reference, ()):
            click.echo(f"    {path:<44} {source}")
