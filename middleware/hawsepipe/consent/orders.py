"""What a client orders to be written, and what became of it: values between the API and the view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hawsepipe.fhir.query import Query
from hawsepipe.model import Resource, Version

Pair = tuple[str, str]


class Criteria(Protocol):
    """Reads the criteria of a conditional interaction (implemented by the API over the search parameters)."""

    def __call__(self, type: str, pairs: Sequence[Pair]) -> Query:
        """Return the query of decoded (name, value) pairs.

        Raises InvalidRequest for one that is not supported and when there is none: nothing may match by neglect.
        """
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """One write. `interaction` is create, update, patch or delete.

    `id` names the resource, or `criteria` find it (for a create: keep it from being made when something is found).
    `resource` is the content of a create and an update; `alter` makes the new content of a patch out of the current
    one and may raise RequestError. `if_match` is the version that must be current; `if_absent` (If-None-Match: *)
    that there must be none. `bundled`: it is of a transaction, where links are resolved; `name` is what the others
    there call it (a Bundle entry's fullUrl).
    """

    interaction: str
    type: str
    id: str | None = None
    resource: Resource | None = None
    alter: Callable[[Resource], Resource] | None = None
    criteria: tuple[Pair, ...] | None = None
    if_match: int | None = None
    if_absent: bool = False
    bundled: bool = False
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of an order.

    `version` is the new version or the one that was there already (`changed` False), None when there was nothing to
    delete. `created`: there was no resource, or a deleted one, before.
    """

    version: Version | None
    created: bool = False
