"""The one table: what is routed, what 405 allows and what the CapabilityStatement claims all come from it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hawsepipe.api.bundles import bundle
from hawsepipe.api.call import Call
from hawsepipe.api.create import create
from hawsepipe.api.delete import conditional_delete, delete
from hawsepipe.api.document import document
from hawsepipe.api.everything import everything
from hawsepipe.api.exchange import Response
from hawsepipe.api.expand import expand_value_set
from hawsepipe.api.export import (
    export_cancel,
    export_file,
    export_group,
    export_patients,
    export_status,
    export_system,
)
from hawsepipe.api.history import history, history_across
from hawsepipe.api.large import attachment, attachment_of_version
from hawsepipe.api.lastn import lastn
from hawsepipe.api.lookup import lookup, subsumes
from hawsepipe.api.match import match
from hawsepipe.api.operations import meta, meta_add, meta_delete
from hawsepipe.api.patch import conditional_patch, patch
from hawsepipe.api.read import read
from hawsepipe.api.receipt import receipt
from hawsepipe.api.search import search, search_compartment, search_system
from hawsepipe.api.subscription import (
    create_subscription,
    delete_subscription,
    read_subscription,
    search_subscriptions,
    subscription_events,
    subscription_status,
    update_subscription,
)
from hawsepipe.api.translate import translate_code
from hawsepipe.api.update import conditional_update, update
from hawsepipe.api.validate import validate
from hawsepipe.api.validate_code import validate_code_of_system, validate_code_of_value_set
from hawsepipe.api.verdict import verdict
from hawsepipe.api.vread import vread
from hawsepipe.contents.taking import OPERATION

Interaction = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `code` is the RESTful interaction's code in a CapabilityStatement, or an operation's name with `$`.

    A part of `pattern` in braces stands for a value. A row without `run` is public: it answers anybody with a document
    of the service's own. `conditional`: the address names the resource by criteria. `also` are codes of more
    interactions at the same address, `only` the types that have it. A `run` that is a `Write` can be
    part of a transaction. `handed`: the address is one that an operation hands out, with content of its own form.
    """

    method: str
    pattern: tuple[str, ...]
    code: str
    run: Interaction | None
    conditional: bool = False
    also: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    handed: bool = False

    @property
    def system(self) -> bool:
        """Whether it is an interaction with the system as a whole."""
        return "{type}" not in self.pattern and self.run is not None and self.kind is None

    @property
    def kind(self) -> str | None:
        """The type that the row is of alone, where it is none of the record."""
        first = self.pattern[0] if self.pattern else ""
        return first if first in ELSEWHERE else None


TYPE: Final = "{type}"
RELATED: Final = "{related}"
_ID: Final = "{id}"
COMPARTMENTS: Final = frozenset({"Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"})
"""Types that have compartments."""

_COMPARTMENTS: Final = frozenset({"Encounter", "Patient"})
_VERSION: Final = (TYPE, _ID, "_history", "{vid}")

_EXPORT: Final = (
    *(
        Route(method, pattern, "$export", start, only=only)
        for method in ("GET", "POST")
        for pattern, only, start in (
            (("$export",), None, export_system),
            ((TYPE, "$export"), frozenset({"Patient"}), export_patients),
            ((TYPE, _ID, "$export"), frozenset({"Group"}), export_group),
        )
    ),
    Route("GET", ("$export", "{job}"), "$export-status", export_status, handed=True),
    Route("DELETE", ("$export", "{job}"), "$export-cancel", export_cancel, handed=True),
    Route("GET", ("$export", "{job}", "{file}"), "$export-file", export_file, handed=True),
)

_TERMINOLOGY: Final = tuple(
    Route(method, pattern, code, run, only=frozenset({kind}))
    for kind, code, run, instance in (
        ("ValueSet", "$expand", expand_value_set, True),
        ("ValueSet", "$validate-code", validate_code_of_value_set, True),
        ("CodeSystem", "$validate-code", validate_code_of_system, True),
        ("CodeSystem", "$lookup", lookup, False),
        ("CodeSystem", "$subsumes", subsumes, True),
        ("ConceptMap", "$translate", translate_code, True),
    )
    for pattern in ((TYPE, code), (TYPE, _ID, code))[: 2 if instance else 1]
    for method in ("GET", "POST")
)

ELSEWHERE: Final = frozenset({"Subscription"})
"""Types that are no part of the record: they have rows of their own, and no others."""

_SUBSCRIPTIONS: Final = (
    Route("GET", ("Subscription",), "search-type", search_subscriptions),
    Route("POST", ("Subscription",), "create", create_subscription),
    Route("GET", ("Subscription", _ID), "read", read_subscription),
    Route("PUT", ("Subscription", _ID), "update", update_subscription),
    Route("DELETE", ("Subscription", _ID), "delete", delete_subscription),
    *(
        Route(method, pattern, "$status", subscription_status)
        for method in ("GET", "POST")
        for pattern in (("Subscription", "$status"), ("Subscription", _ID, "$status"))
    ),
    *(Route(method, ("Subscription", _ID, "$events"), "$events", subscription_events) for method in ("GET", "POST")),
)

TABLE: Final = (
    Route("GET", ("metadata",), "capabilities", None),
    Route("GET", (".well-known", "smart-configuration"), "smart-configuration", None),
    Route("GET", ("openapi.json",), "openapi", None),
    Route("POST", (), "transaction", bundle, also=("batch",)),
    Route("GET", (), "search-system", search_system),
    Route("POST", ("_search",), "search-system", search_system),
    Route("GET", (TYPE,), "search-type", search),
    Route("GET", (TYPE, _ID, RELATED), "search-type", search_compartment, only=COMPARTMENTS),
    Route("POST", (TYPE,), "create", create),
    Route("POST", (TYPE, "_search"), "search-type", search),
    Route("PUT", (TYPE,), "update", conditional_update, conditional=True),
    Route("PATCH", (TYPE,), "patch", conditional_patch, conditional=True),
    Route("DELETE", (TYPE,), "delete", conditional_delete, conditional=True),
    Route("GET", (TYPE, _ID), "read", read),
    Route("PUT", (TYPE, _ID), "update", update),
    Route("PATCH", (TYPE, _ID), "patch", patch),
    Route("DELETE", (TYPE, _ID), "delete", delete),
    Route("GET", ("_history",), "history-system", history_across),
    Route("GET", (TYPE, "_history"), "history-type", history_across),
    Route("GET", (TYPE, _ID, "_history"), "history-instance", history),
    Route("GET", _VERSION, "vread", vread),
    Route("GET", (*_VERSION, "$receipt"), "$receipt", receipt),
    Route("GET", (*_VERSION, "$verify"), "$verify", verdict),
    Route("GET", (TYPE, _ID, OPERATION), OPERATION, attachment),
    Route("GET", (*_VERSION, OPERATION), OPERATION, attachment_of_version),
    Route("POST", (TYPE, "$validate"), "$validate", validate),
    Route("GET", (TYPE, _ID, "$validate"), "$validate", validate),
    Route("POST", (TYPE, _ID, "$validate"), "$validate", validate),
    Route("GET", (TYPE, _ID, "$meta"), "$meta", meta),
    Route("POST", (TYPE, _ID, "$meta-add"), "$meta-add", meta_add),
    Route("POST", (TYPE, _ID, "$meta-delete"), "$meta-delete", meta_delete),
    Route("GET", (TYPE, _ID, "$everything"), "$everything", everything, only=_COMPARTMENTS),
    Route("POST", (TYPE, _ID, "$everything"), "$everything", everything, only=_COMPARTMENTS),
    Route("GET", (TYPE, "$lastn"), "$lastn", lastn, only=frozenset({"Observation"})),
    Route("POST", (TYPE, "$lastn"), "$lastn", lastn, only=frozenset({"Observation"})),
    Route("GET", (TYPE, _ID, "$document"), "$document", document, only=frozenset({"Composition"})),
    *_EXPORT,
    *_TERMINOLOGY,
    *_SUBSCRIPTIONS,
    Route("POST", (TYPE, "$match"), "$match", match, only=frozenset({"Patient"})),
)

_BY_LENGTH: Final = {
    length: tuple(route for route in TABLE if len(route.pattern) == length)
    for length in {len(route.pattern) for route in TABLE}
}
_VALUES: Final = {
    _ID: re.compile(r"[A-Za-z0-9.\-]{1,64}"),
    "{vid}": re.compile(r"[A-Za-z0-9.\-]{1,64}"),
    "{job}": re.compile(r"[A-Za-z0-9.\-]{1,64}"),
    "{file}": re.compile(r"[A-Za-z0-9.\-]{1,64}"),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to: the row for the method (None: 405), the methods there are, and the pattern's values."""

    route: Route | None
    allowed: tuple[str, ...]
    path: Mapping[str, str]


class Router:
    """Finds rows. `types` are the resource types that exist here."""

    def __init__(self, types: frozenset[str]) -> None:
        self._types = types

    def find(self, method: str, segments: tuple[str, ...]) -> Found:
        """Return what a request leads to; nothing is allowed where nothing is. HEAD counts as GET."""
        table = _BY_LENGTH.get(len(segments), ())
        fitting = [(route, path) for route in table if (path := self._fit(route, segments)) is not None]
        if not fitting:
            return Found(None, (), {})
        # A literal goes before a value: `_search` is no id, and `metadata` is no type.
        most = max(_literals(route.pattern) for route, _ in fitting)
        fitting = [(route, path) for route, path in fitting if _literals(route.pattern) == most]
        methods = [route.method for route, _ in fitting]
        allowed = tuple(dict.fromkeys(name for it in methods for name in ((it, "HEAD") if it == "GET" else (it,))))
        wanted = "GET" if method == "HEAD" else method
        for route, path in fitting:
            if route.method == wanted:
                return Found(route, allowed, path)
        return Found(None, allowed, fitting[0][1])

    def _fit(self, route: Route, segments: tuple[str, ...]) -> dict[str, str] | None:
        pattern = route.pattern
        path: dict[str, str] = {}
        for part, segment in zip(pattern, segments, strict=True):
            if part == TYPE:
                if segment in ELSEWHERE or segment not in (self._types if route.only is None else route.only):
                    return None
            elif part == RELATED:
                if segment != "*" and segment not in self._types:
                    return None
            elif part in _VALUES:
                if _VALUES[part].fullmatch(segment) is None:
                    return None
            elif part != segment:
                return None
            if part.startswith("{"):
                path[part.strip("{}")] = segment
        return path


def _literals(pattern: tuple[str, ...]) -> int:
    return sum(not part.startswith("{") for part in pattern)
