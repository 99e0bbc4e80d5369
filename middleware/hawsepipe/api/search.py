"""search on a type, a compartment and the system: https://hl7.org/fhir/R4/http.html#search"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.codes import knowing
from hawsepipe.api.cursors import PARAMETER, Place
from hawsepipe.api.exchange import Request, Response
from hawsepipe.api.forms import pairs
from hawsepipe.api.negotiation import Format, answer_format, check_form_body
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import resource
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import bundle
from hawsepipe.fhir.compartment import ways
from hawsepipe.fhir.definitions import load
from hawsepipe.fhir.parameters import Pair, Parameters, Parsed
from hawsepipe.fhir.query import Clause, Condition, Either, Kind, Page, Query, ReferenceValue
from hawsepipe.fhir.subset import Subset, Summary
from hawsepipe.model import Issue, Severity

_GENERAL = frozenset({"_format", "_pretty"})
_UNSTORED = frozenset({"Parameters"})
"""Types that R4 gives no endpoint."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search as it was asked, or as the cursor of a page before has it."""

    pairs: list[Pair]
    strict: bool
    place: Place | None
    subset: Subset
    shaping: list[Pair]
    format: Format


async def search(call: Call) -> Response:
    """Answer with one page of matches.

    The self link shows what was used. The next link holds a cursor and nothing else, so that no search value of a POST
    comes to stand in an address.
    """
    return await _of_type(call, call.type, call.type, None)


async def search_compartment(call: Call) -> Response:
    """Answer with what of a type, or of every type (`*`), is in a compartment; the resource itself need not be there.

    Raises InvalidRequest for a type that is in no such compartment.
    """
    kind = call.path["related"]
    members: dict[str, list[Condition]] = {}
    for name, code in ways(call.type):
        clause = Clause(code, Kind.REFERENCE, None, (ReferenceValue(call.type, call.id, None),))
        members.setdefault(name, []).append(clause)
    target = f"{call.type}/{call.id}/{kind}"
    if kind != "*" and kind not in members:
        raise InvalidRequest(f"{kind} is not in the compartment of a {call.type}")
    within = {name: Either(tuple(conditions)) for name, conditions in members.items()}
    if kind != "*":
        return await _of_type(call, kind, target, within[kind])
    return await _of_types(call, target, within)


async def search_system(call: Call) -> Response:
    """Answer with one page of matches of the types in `_type`, or of every type, one after the other."""
    return await _of_types(call, "", dict.fromkeys(sorted(load().resource_types - _UNSTORED)))


async def _of_type(call: Call, kind: str, target: str, within: Condition | None) -> Response:
    asked = _asked(call, target)
    parsed = (await knowing(call, asked.pairs)).parse(kind, asked.pairs, asked.strict)
    cursor = None if asked.place is None else asked.place.cursor
    page = await call.view.search(replace(_narrowed(parsed.query, within), cursor=cursor))
    return _answer(call, target, asked, list(parsed.used), parsed.ignored, page)


async def _of_types(call: Call, target: str, within: dict[str, Condition | None] | dict[str, Either]) -> Response:
    asked = _asked(call, target)
    named = [pair for pair in asked.pairs if pair[0] == "_type"]
    rest = [pair for pair in asked.pairs if pair[0] != "_type"]
    kinds = [kind for kind in _types(named, list(within)) if kind in within]
    kinds = list(call.view.within_reach("search-type", kinds)) or kinds[:1]
    ignored: list[Issue] = []
    if len(kinds) != 1:
        rest, ignored = _without(rest, "_sort", "results of several types have no order", asked.strict)
    parsed, left_out = _parsed(await knowing(call, rest), kinds, rest, asked.strict)
    queries = [
        replace(
            one.query, clauses=(condition, *one.query.clauses) if (condition := within[kind]) else one.query.clauses
        )
        for kind, one in parsed.items()
    ]
    cursor = None if asked.place is None else asked.place.cursor
    first = next(iter(parsed.values()))
    if len(queries) == 1:
        page = await call.view.search(replace(queries[0], cursor=cursor))
    else:
        page = await call.view.search_across(queries, cursor, first.query.count)
    return _answer(call, target, asked, [*named, *first.used], [*ignored, *left_out], page)


def _narrowed(query: Query, within: Condition | None) -> Query:
    return query if within is None else replace(query, clauses=(within, *query.clauses))


def _parsed(
    parameters: Parameters, kinds: Sequence[str], asked: list[Pair], strict: bool
) -> tuple[dict[str, Parsed], tuple[Issue, ...]]:
    """Return the search of each type by the parameters that all of them have, and what was left out."""
    left_out: dict[str | None, Issue] = {}
    found: dict[str, Parsed] = {}
    for kind in kinds:
        found[kind] = parameters.parse(kind, asked, strict)
        left_out |= {issue.location: issue for issue in found[kind].ignored}
    if left_out:
        shared = set.intersection(*(set(it.used) for it in found.values()))
        asked = [pair for pair in asked if pair in shared]
        found = {kind: parameters.parse(kind, asked, strict) for kind in kinds}
    return found, tuple(left_out.values())


def _types(named: Sequence[Pair], every: list[str]) -> list[str]:
    if not named:
        return every
    found = dict.fromkeys(name for _, value in named for name in value.split(","))
    if not load().resource_types.issuperset(found):
        raise InvalidRequest("_type is resource types with commas between", location="_type")
    return list(found)


def _without(asked: list[Pair], name: str, text: str, strict: bool) -> tuple[list[Pair], list[Issue]]:
    kept = [pair for pair in asked if pair[0] != name]
    if len(kept) == len(asked):
        return asked, []
    if strict:
        raise InvalidRequest(text, location=name)
    return kept, [Issue(Severity.WARNING, "not-supported", name, text)]


def _asked(call: Call, target: str) -> _Asked:
    whole = _sent(call.request)
    # A form may hold `_format` and `_pretty` too.
    form = answer_format(replace(call.request, query=tuple(whole)))
    asked = [pair for pair in whole if pair[0] not in _GENERAL]
    place, strict = None, call.preference.strict
    if any(name == PARAMETER for name, _ in asked):
        if len(asked) > 1:
            raise InvalidRequest("a cursor stands alone: it holds the whole search", location=PARAMETER)
        place = call.services.cursors.open(asked[0][1], call.view.principal, target)
        asked, strict = list(place.pairs), place.strict
    subset = wanted(asked)
    shaping = [pair for pair in asked if pair[0] in NAMES]
    asked = [pair for pair in asked if pair[0] not in NAMES]
    if subset.summary is Summary.COUNT:
        asked = [*(pair for pair in asked if pair[0] != "_count"), ("_count", "0")]
    return _Asked(asked, strict, place, subset, shaping, form)


def _answer(call: Call, target: str, asked: _Asked, used: list[Pair], ignored: Sequence[Issue], page: Page) -> Response:
    services = call.services
    if asked.subset.summary is Summary.COUNT:
        used = [pair for pair in used if pair[0] != "_count"]
    used += asked.shaping
    address = f"{services.base_url}/{target}" if target else services.base_url
    links = {"self": _link(address, used)}
    if page.next is not None:
        onward = Place(tuple(used), asked.strict, page.next.values, page.next.key, page.next.instant)
        links["next"] = _link(address, [(PARAMETER, services.cursors.seal(onward, call.view.principal, target))])
    found = bundle.searchset(
        cut(page.versions, asked.subset),
        base_url=services.base_url,
        links=links,
        total=page.total,
        issues=ignored,
        included=cut(page.included, asked.subset),
    )
    return resource(found, asked.format)


def _sent(request: Request) -> list[Pair]:
    """Return the parameters of the address and, for a POST, those of the form after them."""
    if request.method != "POST":
        return list(request.query)
    check_form_body(request)
    return [*request.query, *pairs(request.body)]


def _link(address: str, used: Sequence[Pair]) -> str:
    return f"{address}?{urlencode(used)}" if used else address
