"""`convert`: FHIR resources of other versions as R4, without a service."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path

import click
import msgspec

from hawsepipe.cli.findings import Findings
from hawsepipe.cli.sources import NO_FILE, Bar, Source, UnreadableError, progress, sources
from hawsepipe.cli.streams import ending, writing
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.errors import ConfigError, MessageError
from hawsepipe.fhir import codec
from hawsepipe.hooks import Converter, Translator
from hawsepipe.model import Change, Converted, Issue, Method, RawMessage, Resource, Severity, Translation
from hawsepipe.service import kinds

_NOTHING = Issue(Severity.ERROR, "structure", "", "there is no resource in it")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--from",
    "version",
    help="The version that they are in (STU3, 3.0, DSTU2, R5, …); without it each says it itself, or its shape does.",
)
@click.option(
    "--to",
    type=click.Choice(["R4", "STU3"], case_sensitive=False),
    default="R4",
    show_default=True,
    help="The version to convert to; to STU3 from R4, unless --from says otherwise.",
)
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Take the translator and its settings from this configuration; without it the defaults hold.",
)
@click.option("--translator", "name", default="fhir", show_default=True, help="The translator's name.")
@click.option(
    "--issues",
    "issues_path",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write what was lost or added to this file, an OperationOutcome a line, instead of to standard error.",
)
def convert(
    paths: tuple[Path, ...],
    version: str | None,
    to: str,
    config_path: Path | None,
    name: str,
    issues_path: Path | None,
) -> None:
    """Convert FHIR resources and Bundles to R4, or from R4 to STU3, and print them; several are a line each (NDJSON).

    PATH is a file, a directory (all files below it) or - for standard input. A file holds one resource, or one a line.
    What has no place in R4 goes to standard error, each with its place in the source. Exit status 0 when no resource
    had an error, 1 when one had (no resource, a version that cannot be told, elements that its version does not have)
    or a file cannot be read, 2 when nothing could be read or written, 130 when stopped, 141 when nobody read on.
    """
    config = read(config_path) if config_path else None
    media_type = "application/fhir+json" + (f"; fhirVersion={version}" if version else "")
    opening = kinds.translator(name, config, system_clock)
    with ending():
        status = _all(paths, opening, (media_type, to), issues_path)
    sys.exit(status)


def _all(
    paths: tuple[Path, ...],
    opening: AbstractAsyncContextManager[Translator],
    versions: tuple[str, str],
    issues_path: Path | None,
) -> int:
    """Convert everything; return the exit status. Raises UnwritableError."""
    with ExitStack() as stack:
        file = None
        if issues_path is not None:
            with writing(str(issues_path)):
                # Without a buffer, so that what cannot be written is known when it is.
                file = stack.enter_context(issues_path.open("wb", buffering=0))
        findings, output = Findings(file), _Output()
        # Nothing in here waits for anything, so a task could not be cancelled: an interrupt has to come as it is.
        loop = asyncio.new_event_loop()
        stack.callback(loop.close)
        some = loop.run_until_complete(_run(sources(paths), opening, versions, findings, output))
        with writing("standard output"):
            single = output.finish()
            sys.stdout.flush()
    if single is not None:
        findings.show("", single.issues)
    findings.summary(single.label if single is not None else None)
    return 2 if not some else 1 if findings.failed else 0


async def _run(
    found: list[Source],
    opening: AbstractAsyncContextManager[Translator],
    versions: tuple[str, str],
    findings: Findings,
    output: _Output,
) -> bool:
    """Convert all files; return whether any could be read."""
    some = False
    async with opening as translator:
        if not isinstance(translator, Converter):
            raise ConfigError("translator", "this translator converts no resources")
        with progress(found) as bar:
            for source in found:
                if source.empty:
                    findings.broken(source.name, [NO_FILE])
                    some = True
                    continue
                try:
                    _file(source, bar, translator, versions, findings, output)
                    some = True
                except UnreadableError as error:
                    some = some or error.begun
                    findings.broken(source.name, [Issue(Severity.ERROR, "structure", "", str(error))])
    return some


def _file(
    source: Source, bar: Bar, converter: Converter, versions: tuple[str, str], findings: Findings, output: _Output
) -> None:
    """Convert all resources of a file; `versions` are the media type that they have and the version to convert to."""
    media_type, to = versions
    empty = True
    for piece in converter.parts(bar.chunks(source)):
        empty = False
        place = f"{source.name}@{piece.offset}"
        try:
            made = converter.convert(RawMessage("file", system_clock(), media_type, piece.body), to)
        except MessageError as error:
            findings.broken(place, [Issue(Severity.ERROR, error.cause, error.location, error.reason)])
            continue
        changes = tuple(Change(Method.PUT, kind, "", None) for kind in _kinds(made.resource))
        findings.message(place, Translation(changes, made.issues, (), made.label), made.issues)
        for shown, issues in output.add(place, made):
            findings.show(shown, [issue for issue in issues if issue.severity is not Severity.INFORMATION])
    if empty:
        findings.broken(source.name, [_NOTHING])


def _kinds(resource: Resource) -> list[str]:
    """Return the type of a resource, of a Bundle those in its entries."""
    if resource["resourceType"] != "Bundle":
        return [resource["resourceType"]]
    entries = [entry.get("resource") for entry in resource.get("entry", ()) if isinstance(entry, dict)]
    return [str(entry.get("resourceType")) for entry in entries if isinstance(entry, dict)]


class _Output:
    """Prints one resource for people, several for machines: the first waits for the second."""

    def __init__(self) -> None:
        self._first: tuple[str, Converted] | None = None
        self._several = False

    def add(self, place: str, made: Converted) -> list[tuple[str, tuple[Issue, ...]]]:
        """Take a resource; return those that are printed now, by place, with their issues."""
        if self._first is None and not self._several:
            self._first = place, made
            return []
        ready = [(place, made)] if self._first is None else [self._first, (place, made)]
        self._first, self._several = None, True
        with writing("standard output"):
            for _, one in ready:
                sys.stdout.buffer.write(codec.encode(one.resource) + b"\n")
        return [(at, one.issues) for at, one in ready]

    def finish(self) -> Converted | None:
        """Print the only resource and return it; None when there were several or none."""
        if self._first is None:
            return None
        click.echo(msgspec.json.format(codec.encode(self._first[1].resource), indent=2).decode("utf-8"))
        return self._first[1]
