"""history of an instance: https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import refuse_unknown, resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle

_MOST = 1_000


async def history(call: Call) -> Response:
    """Answer with the visible versions, newest first, page by page."""
    services, principal = call.services, call.view.principal
    target = f"{call.type}/{call.id}/_history"
    asked = [(name, value) for name, value in call.request.query if name in {"_count", PARAMETER, *NAMES}]
    subset = wanted(asked)
    refuse_unknown(call, [pair for pair in call.request.query if pair not in asked])
    if len({name for name, _ in asked}) < len(asked):
        raise InvalidRequest("a parameter is there more than once", location=asked[0][0])
    given = dict(asked)
    count = _count(given.get("_count"), services.page_size)
    before = None
    if PARAMETER in given:
        before = services.cursors.open(given[PARAMETER], principal, target).key
    page = await call.view.history(call.type, call.id, before, count)
    address = f"{services.base_url}/{target}"
    links = {"self": f"{address}?{urlencode(asked)}" if asked else address}
    if page.next is not None:
        text = services.cursors.seal(Place((), False, (), page.next.key), principal, target)
        onward = [("_count", str(count)), *(pair for pair in asked if pair[0] in NAMES), (PARAMETER, text)]
        links["next"] = f"{address}?{urlencode(onward)}"
    return resource(
        bundle.history(cut(page.versions, subset), base_url=services.base_url, links=links, total=page.total),
        call.format,
    )


def _count(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) == 0:
        raise InvalidRequest("_count is a positive whole number", location="_count")
    return min(int(text), _MOST)
