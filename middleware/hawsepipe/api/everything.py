"""$everything: https://hl7.org/fhir/R4/patient-operation-everything.html, encounter-operation-everything.html"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import resource
from hawsepipe.consent.everything import Wanted
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle
from hawsepipe.fhir.dates import interval

_MOST: Final = 1_000
_ASKED: Final = frozenset({"start", "end", "_since", "_type", "_count", PARAMETER, *NAMES})


async def everything(call: Call) -> Response:
    """Answer with the resource, all of its compartment that is visible and what that refers to, page by page.

    `start` and `end` bound the time of care, `_since` the instant recorded; `_type`, `_count`. A page is never empty
    unless it is the only one.
    """
    services, principal = call.services, call.view.principal
    target = f"{call.type}/{call.id}/$everything"
    asked = list(inputs(call, _ASKED).texts)
    single = {name for name, _ in asked if name != "_type"}
    if len(single) < sum(name != "_type" for name, _ in asked):
        raise InvalidRequest("a parameter is there more than once", location=asked[0][0])
    given = dict(asked)
    types = ",".join(value for name, value in asked if name == "_type")
    if types:
        given["_type"] = types
    place = services.cursors.open(given[PARAMETER], principal, target).cursor if PARAMETER in given else None
    wanted_here = Wanted(
        call.type,
        call.id,
        frozenset(types.split(",")) if types else None,
        since=_bound(given, "_since", 0),
        start=_bound(given, "start", 0),
        end=_bound(given, "end", 1),
    )
    page = await call.view.everything(wanted_here, place, _count(given, services.page_size))
    address = f"{services.base_url}/{target}"
    links = {"self": f"{address}?{urlencode(given)}" if given else address}
    if page.next is not None:
        text = services.cursors.seal(Place((), False, page.next.values, page.next.key), principal, target)
        kept = {name: value for name, value in given.items() if name != PARAMETER}
        links["next"] = f"{address}?{urlencode({**kept, PARAMETER: text})}"
    shown = cut(page.versions, wanted(asked))
    return resource(bundle.searchset(shown, base_url=services.base_url, links=links, total=page.total), call.format)


def _bound(given: dict[str, str], name: str, side: int) -> int | None:
    """Return the beginning (side 0) or the end (1) of a date, microseconds UTC."""
    try:
        return None if name not in given else interval(given[name])[side]
    except ValueError:
        raise InvalidRequest(f"{name} is a date or an instant", location=name) from None


def _count(given: dict[str, str], default: int) -> int:
    text = given.get("_count")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) == 0:
        raise InvalidRequest("_count is a positive whole number", location="_count")
    return min(int(text), _MOST)
