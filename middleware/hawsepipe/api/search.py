"""search on a type, by GET and by POST _search: https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.forms import pairs
from hawsepipe.api.negotiation import answer_format, check_form_body
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle
from hawsepipe.fhir.subset import Summary

_GENERAL = frozenset({"_format", "_pretty"})


async def search(call: Call) -> Response:
    """Answer with one page of matches.

    The self link shows what was used. The next link holds a cursor and nothing else, so that no search value of a POST
    comes to stand in an address.
    """
    services, principal = call.services, call.view.principal
    whole = _asked(call.request)
    # A form may hold `_format` and `_pretty` too.
    form = answer_format(replace(call.request, query=tuple(whole)))
    asked = [pair for pair in whole if pair[0] not in _GENERAL]
    place = None
    strict = call.preference.strict
    if any(name == PARAMETER for name, _ in asked):
        if len(asked) > 1:
            raise InvalidRequest("a cursor stands alone: it holds the whole search", location=PARAMETER)
        place = services.cursors.open(asked[0][1], principal, call.type)
        asked, strict = list(place.pairs), place.strict
    subset = wanted(asked)
    shaping = [pair for pair in asked if pair[0] in NAMES]
    asked = [pair for pair in asked if pair[0] not in NAMES]
    if subset.summary is Summary.COUNT:
        asked = [*(pair for pair in asked if pair[0] != "_count"), ("_count", "0")]
    parsed = services.parameters.parse(call.type, asked, strict)
    used = [*(pair for pair in parsed.used if subset.summary is not Summary.COUNT or pair[0] != "_count"), *shaping]
    query = parsed.query if place is None else replace(parsed.query, cursor=place.cursor)
    page = await call.view.search(query)
    address = f"{services.base_url}/{call.type}"
    links = {"self": _link(address, used)}
    if page.next is not None:
        onward = Place(tuple(used), strict, page.next.values, page.next.key)
        links["next"] = _link(address, [(PARAMETER, services.cursors.seal(onward, principal, call.type))])
    found = bundle.searchset(
        cut(page.versions, subset),
        base_url=services.base_url,
        links=links,
        total=page.total,
        issues=parsed.ignored,
        included=cut(page.included, subset),
    )
    return resource(found, form)


def _asked(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of the address and, for a POST, those of the form after them."""
    if request.method != "POST":
        return list(request.query)
    check_form_body(request)
    return [*request.query, *pairs(request.body)]


def _link(address: str, used: Sequence[tuple[str, str]]) -> str:
    return f"{address}?{urlencode(used)}" if used else address
