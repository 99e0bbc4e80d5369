"""The dead letters over HTTP, for `hawsepipe dead-letters` and an operations page.

A content is patient data and goes to operators alone. The body of a rehearsal or a retry is a mended copy of the
message, byte for byte; without a body the letter itself is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from aiohttp import web

from hawsepipe.auth.tokens import TokenVerifier
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import encode
from hawsepipe.hooks import Refusal
from hawsepipe.intake.dead_letters import DeadLetters
from hawsepipe.intake.rehearsal import Outcome, Rehearsal
from hawsepipe.model import Principal
from hawsepipe.ops.authorisation import guarded, number
from hawsepipe.store.contract import Letters

_PAGE = 1000
_LONGEST = 30
"""Seconds for which a retry may wait for what becomes of it."""
_FILTERS = frozenset({"feed", "cause", "location", "since", "until"})


def routes(letters: DeadLetters, verifier: TokenVerifier) -> list[web.RouteDef]:
    """Return the routes under `/ops/dead-letters`, and `/ops/lanes`. Answers and errors are JSON."""

    async def listed(request: web.Request, _operator: Principal) -> object:
        chosen = _chosen(request.query, {"after"})
        return await letters.list(number(request.query.get("after", "0")), _PAGE, chosen)

    async def grouped(request: web.Request, _operator: Principal) -> object:
        return await letters.groups(_chosen(request.query, set()))

    async def shown(request: web.Request, operator: Principal) -> object:
        return await letters.show(number(request.match_info["sequence"]), operator)

    async def rehearsed(request: web.Request, operator: Principal) -> object:
        sequence = number(request.match_info["sequence"])
        return _rehearsal(await letters.rehearse(sequence, operator, await _mended(request), **_how(request)))

    async def retried(request: web.Request, operator: Principal) -> object:
        sequence = number(request.match_info["sequence"])
        wait = min(number(request.query.get("wait", "0")), _LONGEST)
        return await letters.retry(sequence, operator, await _mended(request), **_how(request), wait=wait)

    async def discarded(request: web.Request, operator: Principal) -> object:
        await letters.discard(number(request.match_info["sequence"]), operator, request.query.get("reason", ""))
        return {}

    async def lanes(_request: web.Request, _operator: Principal) -> object:
        return await letters.lanes()

    return [
        web.get("/ops/lanes", guarded(verifier, lanes)),
        web.get("/ops/dead-letters", guarded(verifier, listed)),
        web.get("/ops/dead-letters/groups", guarded(verifier, grouped)),
        web.get("/ops/dead-letters/{sequence}", guarded(verifier, shown)),
        web.post("/ops/dead-letters/{sequence}/rehearse", guarded(verifier, rehearsed)),
        web.post("/ops/dead-letters/{sequence}/retry", guarded(verifier, retried)),
        web.post("/ops/dead-letters/{sequence}/discard", guarded(verifier, discarded)),
    ]


def _how(request: web.Request) -> dict[str, bool]:
    query = request.query
    return {"forced": query.get("current") == "true", "past": query.get("past-the-door") == "true"}


async def _mended(request: web.Request) -> bytes | None:
    return await request.read() or None


def _chosen(query: Mapping[str, str], others: set[str]) -> Letters:
    unknown = sorted(set(query) - _FILTERS - others)
    if unknown:
        raise InvalidRequest(f"there is no filter called {unknown[0]}")
    return Letters(
        feed=query.get("feed"),
        cause=query.get("cause"),
        location=query.get("location"),
        since=_instant(query.get("since")),
        until=_instant(query.get("until")),
    )


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


def _rehearsal(found: Rehearsal) -> dict[str, object]:
    return {
        "label": found.label,
        "refusal": _refusal(found.refusal),
        "door": _refusal(found.door),
        "issues": [
            {"severity": issue.severity.value, "cause": issue.cause, "location": issue.location, "text": issue.text}
            for issue in found.issues
        ],
        "resources": [_outcome(outcome) for outcome in found.outcomes],
    }


def _refusal(refusal: Refusal | None) -> dict[str, str] | None:
    if refusal is None:
        return None
    return {"cause": refusal.cause, "location": refusal.location, "text": refusal.text}


def _outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "resource": f"{outcome.type}/{outcome.id}",
        "operation": outcome.operation.value if outcome.operation else None,
        # As text: a JSON library on the way would rewrite decimals.
        "before": None if outcome.before is None else encode(outcome.before).decode("utf-8"),
        "after": None if outcome.after is None else encode(outcome.after).decode("utf-8"),
    }
