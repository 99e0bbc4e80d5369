"""The journal's messages over HTTP, for `hawsepipe messages`. A content is patient data and goes to operators alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import InvalidRequest
from hawsepipe.intake.archive import Archive
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, number
from hawsepipe.store.answers import Messages
from hawsepipe.store.contract import JournalState

_PAGE = 200
_FILTERS = frozenset({"feed", "state", "control", "text", "since", "until", "before", "limit", "identifier"})


def routes(archive: Archive, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/messages`. Answers and errors are JSON."""

    async def listed(request: web.Request, operator: Principal) -> object:
        return await archive.list(_chosen(request.query), operator)

    async def contents(request: web.Request, operator: Principal) -> object:
        return await archive.contents(_chosen(request.query), operator)

    async def shown(request: web.Request, operator: Principal) -> object:
        return await archive.show(number(request.match_info["sequence"]), operator)

    return [
        web.get("/ops/messages", guarded(verifier, listed)),
        web.get("/ops/messages/contents", guarded(verifier, contents)),
        web.get("/ops/messages/{sequence}", guarded(verifier, shown)),
    ]


def _chosen(query: Mapping[str, str]) -> Messages:
    unknown = sorted(set(query) - _FILTERS)
    if unknown:
        raise InvalidRequest(f"there is no filter called {unknown[0]}")
    state = query.get("state")
    if state is not None and state not in {known.value for known in JournalState}:
        raise InvalidRequest(f"a state is one of {', '.join(JournalState)}")
    return Messages(
        limit=min(number(query.get("limit", str(_PAGE))), _PAGE),
        before=number(query["before"]) if "before" in query else None,
        feed=query.get("feed"),
        state=state,
        control=query.get("control"),
        text=query.get("text"),
        since=_instant(query.get("since")),
        until=_instant(query.get("until")),
        identifier=_identifier(query.get("identifier")),
    )


def _identifier(text: str | None) -> tuple[str, str] | None:
    """Return system and value of `system|value`, or of a value of any system."""
    if text is None:
        return None
    system, _, value = text.rpartition("|")
    if not value:
        raise InvalidRequest("an identifier is written as its value, or as system|value")
    return system, value


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest("a time is written as 2026-03-01T08:30:00+00:00") from error
    if moment.tzinfo is None:
        raise InvalidRequest("a time needs its offset, as in 2026-03-01T08:30:00+00:00")
    return moment
