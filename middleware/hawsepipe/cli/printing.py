"""How `translate` prints what messages became: one message for people, several a line each."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
import msgspec

from hawsepipe.cli.streams import writing
from hawsepipe.fhir import codec
from hawsepipe.model import Issue, Resource, Severity, Translation

Shown = tuple[str, tuple[Issue, ...]]
_LOUD = frozenset({Severity.WARNING, Severity.ERROR, Severity.FATAL})
_OUTPUT = "standard output"


class Output:
    """Prints one message for people, several for machines: the first waits for the second. Raises UnwritableError."""

    def __init__(self, *, explain: bool) -> None:
        self._explain = explain
        self._first: tuple[str, Translation, Resource, tuple[Issue, ...]] | None = None
        self._several = False

    def add(self, place: str, translation: Translation, made: Resource, issues: tuple[Issue, ...]) -> Iterator[Shown]:
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
        with writing(_OUTPUT):
            if self._first is None:
                sys.stdout.flush()
                return None
            _, translation, made, issues = self._first
            if self._explain:
                _explain(translation)
            else:
                click.echo(msgspec.json.format(codec.encode(made), indent=2).decode("utf-8"))
            sys.stdout.flush()
        return translation.label, issues

    def _line(self, place: str, translation: Translation, made: Resource, issues: tuple[Issue, ...]) -> Shown:
        with writing(_OUTPUT):
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
