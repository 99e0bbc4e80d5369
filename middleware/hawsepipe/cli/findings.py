"""What `translate` says about messages: findings on standard error or in a file, and what is to be done about codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import IO

import click

from hawsepipe.fhir import codec, outcome
from hawsepipe.model import Issue, Severity, Translation

ERRORS = frozenset({Severity.ERROR, Severity.FATAL})
MESSAGE = "urn:hawsepipe:extension:message"
"""The extension of an OperationOutcome: what the message is called."""

SOURCE = "urn:hawsepipe:extension:source"
"""The extension of an OperationOutcome: the file, and the offset of the message in it."""

_NUMBERS = re.compile(r"\[\d+\]")
_KEPT = 10_000
"""Different entries of the work list."""

_SHOWN = 50


class Findings:
    """Collects what is found; `failed` counts messages with an error."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        self.failed = self.messages = 0
        self._kinds: Counter[str] = Counter()
        self._codes: Counter[tuple[str, str, str, str]] = Counter()

    def message(self, place: str, translation: Translation, issues: Sequence[Issue]) -> None:
        """Note a message and its issues."""
        self.messages += 1
        self._kinds.update(change.type for change in translation.changes)
        self.failed += any(issue.severity in ERRORS for issue in issues)
        self._write(place, translation.label, issues)

    def broken(self, place: str, issues: Sequence[Issue]) -> None:
        """Note issues of what is no message."""
        self.failed += any(issue.severity in ERRORS for issue in issues)
        self._write(place, "", issues)
        self.show(place, issues)

    def code(self, sender: str, location: str, text: str, value: str) -> None:
        """Note a code that nothing maps."""
        entry = (sender, _NUMBERS.sub("", location), value, text)
        if entry in self._codes or len(self._codes) < _KEPT:
            self._codes[entry] += 1

    def show(self, place: str, issues: Sequence[Issue]) -> None:
        """Print issues for people, unless a file takes them."""
        if self._file is not None:
            return
        begin = f"{place}: " if place else ""
        for issue in issues:
            click.echo(f"{begin}{issue.severity.value} {issue.cause} {issue.location or '-'}: {issue.text}", err=True)

    def summary(self, label: str | None) -> None:
        """Print how many resources of which kind there are, and the codes to be mapped, by sender."""
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(self._kinds.items())) or "no resources"
        what = label if label is not None else f"{self.messages} messages, {self.failed} with an error"
        click.echo(f"{what}: {counted}", err=True)
        if not self._codes:
            return
        click.echo("codes to map, by sender (see docs/overlays.md):", err=True)
        for (sender, location, value, text), count in self._codes.most_common(_SHOWN):
            click.echo(f"  {count:>6} {sender} {location} {value}: {text}", err=True)
        if len(self._codes) > _SHOWN:
            click.echo(f"  and {len(self._codes) - _SHOWN} more", err=True)

    def _write(self, place: str, label: str, issues: Sequence[Issue]) -> None:
        if self._file is None or not issues:
            return
        made = outcome.outcome(issues)
        told = [(MESSAGE, label), (SOURCE, place)]
        made["extension"] = [{"url": url, "valueString": text} for url, text in told if text]
        self._file.write(codec.encode(made) + b"\n")
