"""A check: a case's id, the prose that it was written for, the settings of its feed, and the code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hawsepipe_conformance.feeds.cases import normal
from hawsepipe_conformance.feeds.stage import Stage

Work = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """`text` is the whole prose of the expectation; a case that says anything else is not covered by this check."""

    id: str
    text: str
    work: Work
    settings: Mapping[str, Any]


class Checks(list[Check]):
    """The checks of one category; used as a decorator."""

    def case(self, id: str, text: str, **settings: Any) -> Callable[[Work], Work]:
        """Note a check for a case; `settings` are those of the feed that it runs on."""

        def note(work: Work) -> Work:
            self.append(Check(id, normal(text), work, settings))
            return work

        return note
