"""What `translate` says about messages: findings on standard error or in a file, and what is to be done about codes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any
from urllib.parse import unquote

from hawsepipe.cli.streams import tell, writing
from hawsepipe.fhir import codec, outcome
from hawsepipe.model import Issue, Severity, Translation

ERRORS = frozenset({Severity.ERROR, Severity.FATAL})
MESSAGE = "urn:hawsepipe:extension:message"
"""The extension of an OperationOutcome: what the message is called."""

SOURCE = "urn:hawsepipe:extension:source"
"""The extension of an OperationOutcome: the file, and the offset of the message in it."""

_NUMBERS = re.compile(r"\[\d+\]")
_CODE = re.compile(r"\S{1,32}( \S{1,8})?")
_DATE = re.compile(r"(18|19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])\d*|\d{4}-\d\d-\d\d.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_WORDS = "(in words)"
"""What is shown instead of something that does not look like a code."""

_KEPT = 10_000
"""Different entries of the work list."""

_SHOWN = 50


_CODES, _AUTHORITY = "urn:hawsepipe:codes:", "urn:hawsepipe:authority:"
"""What a translator makes of a coding system and of an authority that nothing names."""
_Code = tuple[str, str, str, str]
"""Sender, location, code and text of an entry of the work list."""


class Findings:
    """Collects what is found; `failed` counts messages with an error."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file = file
        self.failed = self.messages = 0
        self._kinds: Counter[str] = Counter()
        self._codes: Counter[_Code] = Counter()
        self._by_value: dict[str, set[_Code]] = {}

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
        """Note a code that nothing maps. What is too long or too wordy for one is free text, and not shown."""
        code = value.partition("^")[0]
        value = value if _CODE.fullmatch(code) and not _DATE.fullmatch(code) else _WORDS
        entry = (sender, _NUMBERS.sub("", location), value, text)
        if entry in self._codes or len(self._codes) < _KEPT:
            self._codes[entry] += 1
            self._by_value.setdefault(value, set()).add(entry)

    def names(self, sender: str, translation: Translation, coded: Callable[[str], bool]) -> None:
        """Note codes of the sender's own systems that nothing maps, and authorities that have no URI yet.

        `coded` says whether codes stand at a location; what stands anywhere else is not shown.
        """
        places = {(entry.resource, entry.path): entry.source for entry in translation.trail}
        for change in translation.changes:
            home = f"{change.type}/{change.id}"
            for path, value, text in _own(change.resource or {}, ""):
                location = _NUMBERS.sub("", places.get((home, path), ""))
                if not location or not coded(location):
                    continue
                if not any(key[:3] == (sender, location, value) for key in self._by_value.get(value, ())):
                    self.code(sender, location, text, value)

    def show(self, place: str, issues: Sequence[Issue]) -> None:
        """Print issues for people, unless a file takes them."""
        if self._file is not None:
            return
        begin = f"{place}: " if place else ""
        for issue in issues:
            tell(f"{begin}{issue.severity.value} {issue.cause} {issue.location or '-'}: {issue.text}")

    def summary(self, label: str | None) -> None:
        """Print how many resources of which kind there are, and the codes to be mapped, by sender."""
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(self._kinds.items())) or "no resources"
        what = label if label is not None else f"{self.messages} messages, {self.failed} with an error"
        tell(f"{what}: {counted}")
        if not self._codes:
            return
        tell("codes to map, by sender (see docs/overlays.md):")
        for (sender, location, value, text), count in self._codes.most_common(_SHOWN):
            tell(f"  {count:>6} {sender} {location} {value}: {text}")
        if len(self._codes) > _SHOWN:
            tell(f"  and {len(self._codes) - _SHOWN} more")

    def _write(self, place: str, label: str, issues: Sequence[Issue]) -> None:
        if self._file is None or not issues:
            return
        made = outcome.outcome(issues, causes=True)
        told = [(MESSAGE, label), (SOURCE, place)]
        made["extension"] = [{"url": url, "valueString": text} for url, text in told if text]
        with writing("the file of findings"):
            self._file.write(codec.encode(made) + b"\n")


def _own(node: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield path, name and what to do of the codes and authorities in a resource that nothing maps."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from _own(item, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    system = node.get("system")
    if isinstance(system, str) and system.startswith(_AUTHORITY) and "value" in node:
        yield f"{path}.system", unquote(system.removeprefix(_AUTHORITY)), "an authority without a URI; see `systems`"
    for name, value in node.items():
        below = f"{path}.{name}" if path else name
        if name == "coding" and isinstance(value, list):
            systems = [str(one.get("system", "")) for one in value if isinstance(one, dict)]
            if all(one.startswith(_CODES) for one in systems):
                for index, one in enumerate(value):
                    told = f"{one.get('code', '')}^{unquote(systems[index].removeprefix(_CODES))}"
                    if one.get("code"):
                        yield f"{below}[{index}].code", told, "a code of the sender's own that nothing maps"
        else:
            yield from _own(value, below)
