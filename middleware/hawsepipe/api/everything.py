"""$everything: https://hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Response
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import refuse_unknown, resource
from hawsepipe.consent.everything import Wanted
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle
from hawsepipe.fhir.dates import interval

_MOST: Final = 1_000
_ASKED: Final = frozenset({"_since", "_type", "_count", PARAMETER, *NAMES})


async def everything(call: Call) -> Response:
    """Answer with the resource and all of its compartment that is visible, page by page; `_since`, `_type`, `_count`.

    A page is never empty unless it is the only one. Dates of care (`start`, `end`) are refused: they are not kept.
    """
    services, principal = call.services, call.view.principal
    target = f"{call.type}/{call.id}/$everything"
    asked = list(call.request.query)
    for name, _ in asked:
        if name in {"start", "end"}:
            raise InvalidRequest("dates of care are not supported; _since asks when it was recorded", location=name)
    refuse_unknown(call, [pair for pair in asked if pair[0] not in _ASKED])
    asked = [pair for pair in asked if pair[0] in _ASKED]
    if len({name for name, _ in asked}) < len(asked):
        raise InvalidRequest("a parameter is there more than once", location=asked[0][0])
    given = dict(asked)
    place = services.cursors.open(given[PARAMETER], principal, target).cursor if PARAMETER in given else None
    wanted_here = Wanted(call.type, call.id, _types(given.get("_type")), _since(given.get("_since")))
    page = await call.view.everything(wanted_here, place, _count(given, services.page_size))
    address = f"{services.base_url}/{target}"
    links = {"self": f"{address}?{urlencode(given)}" if given else address}
    if page.next is not None:
        text = services.cursors.seal(Place((), False, page.next.values, page.next.key), principal, target)
        kept = {name: value for name, value in given.items() if name != PARAMETER}
        links["next"] = f"{address}?{urlencode({**kept, PARAMETER: text})}"
    shown = cut(page.versions, wanted(asked))
    return resource(bundle.searchset(shown, base_url=services.base_url, links=links, total=page.total), call.format)


def _types(text: str | None) -> frozenset[str] | None:
    return None if text is None else frozenset(text.split(","))


def _since(text: str | None) -> int | None:
    try:
        return None if text is None else interval(text)[0]
    except ValueError:
        raise InvalidRequest("_since is an instant", location="_since") from None


def _count(given: dict[str, str], default: int) -> int:
    text = given.get("_count")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) == 0:
        raise InvalidRequest("_count is a positive whole number", location="_count")
    return min(int(text), _MOST)
