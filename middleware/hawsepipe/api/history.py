"""history of an instance, a type and the system: https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import refuse_unknown, resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle
from hawsepipe.fhir.history import span
from hawsepipe.fhir.query import Cursor, Page
from hawsepipe.fhir.subset import Summary

_MOST: Final = 1_000
_KEPT: Final = frozenset({"_since", "_at", *NAMES})
"""Parameters that a next link repeats."""


async def history(call: Call) -> Response:
    """Answer with the visible versions of a resource, newest first, page by page."""
    given, count, before = _asked(call, f"{call.type}/{call.id}/_history")
    when = span(given.get("_since"), given.get("_at"))
    page = await call.view.history(call.type, call.id, None if before is None else before.key, count, when)
    return _answer(call, page, f"{call.type}/{call.id}/_history", given, count)


async def history_across(call: Call) -> Response:
    """Answer with the visible versions of all resources, or those of a type, newest first, page by page."""
    kind = call.path.get("type")
    target = "_history" if kind is None else f"{kind}/_history"
    given, count, before = _asked(call, target)
    page = await call.view.changes(kind, before, count, span(given.get("_since"), given.get("_at")))
    return _answer(call, page, target, given, count)


def _asked(call: Call, target: str) -> tuple[dict[str, str], int, Cursor | None]:
    """Return the parameters, how many entries are wanted, and where the page before ended."""
    asked = [(name, value) for name, value in call.request.query if name in {"_count", PARAMETER, *_KEPT}]
    refuse_unknown(call, [pair for pair in call.request.query if pair not in asked])
    if len({name for name, _ in asked}) < len(asked):
        raise InvalidRequest("a parameter is there more than once", location=asked[0][0])
    given = dict(asked)
    before = None
    if PARAMETER in given:
        before = call.services.cursors.open(given[PARAMETER], call.view.principal, target).cursor
    return given, _count(given.get("_count"), call.services.page_size), before


def _answer(call: Call, page: Page, target: str, given: dict[str, str], count: int) -> Response:
    services = call.services
    subset = wanted(given.items())
    if subset.summary is Summary.COUNT:
        raise InvalidRequest("_summary=count is for searches", location="_summary")
    address = f"{services.base_url}/{target}"
    links = {"self": f"{address}?{urlencode(given)}" if given else address}
    if page.next is not None:
        place = Place((), False, page.next.values, page.next.key)
        text = services.cursors.seal(place, call.view.principal, target)
        kept = [(name, value) for name, value in given.items() if name in _KEPT]
        links["next"] = f"{address}?{urlencode([('_count', str(count)), *kept, (PARAMETER, text)])}"
    shown = cut(page.versions, subset)
    return resource(bundle.history(shown, base_url=services.base_url, links=links, total=page.total), call.format)


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) == 0:
        raise InvalidRequest("_count is a positive whole number", location="_count")
    return min(int(text), _MOST)
