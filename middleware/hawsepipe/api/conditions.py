"""Conditions of a request: If-Match, If-None-Match, If-None-Exist and criteria in the address.

https://hl7.org/fhir/R4/http.html#concurrency, #ccreate, #cond-update, #3.1.0.7.1
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Request
from hawsepipe.api.forms import pairs
from hawsepipe.consent.orders import Criteria, Pair
from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.parameters import Parameters
from hawsepipe.fhir.query import Query

_TAG: Final = re.compile(r'\s*W/"([1-9][0-9]{0,8})"\s*')
_GENERAL: Final = frozenset({"_format", "_pretty"})
_RESULTS: Final = frozenset(
    {
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_total",
        "_elements",
        "_contained",
        "_containedType",
        "_cursor",
        "_score",
    }
)
"""Parameters that say how to show what is found: no criteria."""


def expected_version(request: Request) -> int | None:
    """Return the version that If-Match names, None without the header. Raises InvalidRequest for another form."""
    tag = request.header("if-match")
    if tag is None:
        return None
    match = _TAG.fullmatch(tag)
    if match is None:
        raise InvalidRequest('If-Match takes one weak ETag such as W/"3"', location="If-Match")
    return int(match[1])


def must_be_absent(request: Request) -> bool:
    """Say whether If-None-Match: * asks that nothing be there. Raises InvalidRequest for another value."""
    tag = request.header("if-none-match")
    if tag is None:
        return False
    if tag.strip() != "*":
        raise InvalidRequest("If-None-Match on a write takes * alone", location="If-None-Match")
    return True


def unless_there(request: Request) -> tuple[Pair, ...] | None:
    """Return the criteria of If-None-Exist, None without the header. Raises InvalidRequest."""
    text = request.header("if-none-exist")
    if text is None:
        return None
    try:
        found = tuple(pairs(text.strip().rpartition("?")[2].encode("ascii")))
    except UnicodeEncodeError:
        raise InvalidRequest("the criteria must be in percent encoding", location="If-None-Exist") from None
    if not found:
        raise InvalidRequest("the criteria are empty", location="If-None-Exist")
    return found


def in_address(call: Call) -> tuple[Pair, ...]:
    """Return the criteria in the address of a conditional interaction."""
    return tuple(pair for pair in call.request.query if pair[0] not in _GENERAL)


def reader(parameters: Parameters) -> Criteria:
    """Return what reads criteria: each must be a search parameter that is supported, and there must be one."""

    def read(type: str, pairs: Sequence[Pair]) -> Query:
        for name, _ in pairs:
            if name.partition(":")[0] in _RESULTS:
                raise InvalidRequest("this parameter is no criterion", location=name[:64])
        query = parameters.parse(type, pairs, strict=True).query
        if not query.clauses:
            raise InvalidRequest("there are no criteria: this would be about every resource of the type")
        return query

    return read
