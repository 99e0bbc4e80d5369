"""What an interaction gets: the request, who asks (as a view), and the few things of the service that it may use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hawsepipe.api.cursors import Cursors
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.negotiation import Format, Preference
from hawsepipe.api.shelved import Shelved
from hawsepipe.clock import Clock
from hawsepipe.consent.everything import Wanted
from hawsepipe.consent.orders import Criteria, Order, Written
from hawsepipe.contents.taking import Taking
from hawsepipe.exports.jobs import Exports
from hawsepipe.fhir.history import EVER, Span
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Cursor, Page, Query
from hawsepipe.ledger.verify import Findings
from hawsepipe.model import Issue, Principal, Resource, Version
from hawsepipe.subscriptions.engine import Subscriptions

Verdict = Callable[[Version], Awaitable[Findings]]
"""Verifies a version with the evidence that there is; raises LedgerError while there is none yet."""

Evidence = Callable[[Version], Awaitable[Mapping[str, Any]]]
"""Makes the evidence document of a version; raises LedgerError while there is none yet."""


class View(Protocol):
    """The store as one principal may see it (implemented by `consent.view`). What it does not return does not exist."""

    @property
    def principal(self) -> Principal:
        """Who asks."""
        ...

    async def read(self, type: str, id: str) -> Version:
        """Return the current version. Raises NotFound, Gone or Forbidden."""
        ...

    async def vread(self, type: str, id: str, version: int) -> Version:
        """Return one version. Raises NotFound, Gone or Forbidden."""
        ...

    async def history(self, type: str, id: str, before: int | None, count: int, span: Span = EVER) -> Page:
        """Return versions below `before`, newest first. Raises NotFound or Forbidden."""
        ...

    async def changes(self, type: str | None, before: Cursor | None, count: int, span: Span = EVER) -> Page:
        """Return versions of a type, or of every type, newest first. Raises Forbidden."""
        ...

    async def everything(self, wanted: Wanted, after: Cursor | None, count: int) -> Page:
        """Return a resource and its compartment, each once. Raises NotFound, Gone or Forbidden."""
        ...

    def within_reach(self, interaction: str, kinds: Iterable[str]) -> tuple[str, ...]:
        """Return which types may be asked for at all."""
        ...

    def may_write(self, kind: str) -> bool:
        """Return whether a type may be created or updated at all."""
        ...

    async def members(self, group: str) -> Sequence[str]:
        """Return the patients of a Group. Raises NotFound, Gone, Forbidden, InvalidRequest."""
        ...

    async def search(self, query: Query) -> Page:
        """Return one page. Raises Forbidden."""
        ...

    async def search_across(self, queries: Sequence[Query], after: Cursor | None, count: int) -> Page:
        """Return one page of searches of several types, one after the other. Raises Forbidden."""
        ...

    async def write(self, orders: Sequence[Order], criteria: Criteria | None = None) -> Sequence[Written]:
        """Carry out orders together, all or nothing; see `consent.writing.Writing.carried_out`."""
        ...


class Gate(Protocol):
    """Gives each principal its view (implemented by `consent.view`)."""

    def view(self, principal: Principal) -> View:
        """Return the view of a principal."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What interactions use beside the view. `base_url` is the FHIR base without a trailing slash; `check` says whether
    a resource is R4; `taking` has the large contents, `shelved` the large terminology resources; without
    `subscriptions` there are none.
    """

    base_url: str
    parameters: Parameters
    cursors: Cursors
    evidence: Evidence
    verdict: Verdict
    page_size: int
    check: Callable[[Resource], Sequence[Issue]]
    exports: Exports
    clock: Clock
    taking: Taking | None = None
    shelved: Shelved = field(default_factory=Shelved)
    subscriptions: Subscriptions | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A write of a transaction: what is ordered, and how to answer what became of it."""

    order: Order
    answer: Callable[[Written], Response]


class Inside(Protocol):
    """Processes requests inside a request, for the same principal (implemented by `application`)."""

    async def answer(self, request: Request) -> Response:
        """Answer a request alone; never raises."""
        ...

    def prepare(self, request: Request, name: str | None) -> Prepared:
        """Return the write that a request asks for; `name` is what other entries call it.

        Raises RequestError, for an interaction that is no write NotFound or MethodNotAllowed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one interaction. `path` has the values of the pattern's names (type, id, vid)."""

    request: Request
    path: Mapping[str, str]
    format: Format
    preference: Preference
    services: Services
    view: View
    inside: Inside

    @property
    def type(self) -> str:
        """The resource type in the path."""
        return self.path["type"]

    @property
    def id(self) -> str:
        """The logical id in the path."""
        return self.path["id"]
