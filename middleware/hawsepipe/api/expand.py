"""ValueSet/$expand: https://hl7.org/fhir/R4/valueset-operation-expand.html"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import Inputs, inputs
from hawsepipe.api.rendering import resource
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir import codec
from hawsepipe.fhir.dates import instant_text
from hawsepipe.fhir.value_sets import Member, expand, matching, refused, with_display
from hawsepipe.model import Resource

_MOST: Final = 20_000
"""Codes of an expansion that is not asked for in pages."""

EXPANDED_BY: Final = frozenset(
    {
        "url",
        "valueSet",
        "valueSetVersion",
        "filter",
        "count",
        "offset",
        "includeDesignations",
        "includeDefinition",
        "activeOnly",
        "excludeNested",
        "displayLanguage",
    }
)
"""The parameters of an expansion."""

_TOLD: Final = ("url", "title", "name", "version", "status", "experimental")


async def expand_value_set(call: Call) -> Response:
    """Answer with a value set and what it contains: by id, by `url`, or one that is sent.

    `filter` takes beginnings of words; `count` and `offset` page over a flat list, which the expansion is too where
    `excludeNested` says so; else codes stand below those that they are a kind of.
    """
    given = inputs(call, EXPANDED_BY, alone="valueSet")
    terminology = Terminology(call)
    value_set = await asked_for(call, given, terminology)
    members = expand(value_set, await terminology.shelf(value_set), active=given.truth("activeOnly", default=False))
    members = [with_display(member, given.one("displayLanguage")) for member in members]
    text, count, offset = given.one("filter"), given.number("count"), given.number("offset") or 0
    if text:
        members = matching(members, text)
    if count is None and len(members) > _MOST:
        raise refused("too-costly", f"the expansion has more than {_MOST} codes: ask for pages by count and offset")
    flat = bool(text) or count is not None or offset > 0 or given.truth("excludeNested", default=False)
    shown = members[offset:] if count is None else members[offset : offset + count]
    designations = given.truth("includeDesignations", default=False)
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{uuid4()}",
        "timestamp": instant_text(call.services.clock()),
        "total": len(members),
        "offset": offset,
        "parameter": [{"name": name, "valueString": value} for name, value in given.texts if name != "url"],
        "contains": _flat(shown, designations) if flat else _nested(shown, designations),
    }
    made: Resource = {"resourceType": "ValueSet", **{name: value_set[name] for name in _TOLD if name in value_set}}
    if given.truth("includeDefinition", default=False) and "compose" in value_set:
        made["compose"] = value_set["compose"]
    if count == 0:  # only the total is wanted
        del expansion["contains"]
    made["expansion"] = {name: value for name, value in expansion.items() if value != []}
    return resource(made, call.format)


async def asked_for(call: Call, given: Inputs, terminology: Terminology) -> Resource:
    """Return the value set that a request is about. Raises NotFound, InvalidRequest."""
    if "id" in call.path:
        version = await call.view.read("ValueSet", call.id)
        return codec.decode(version.content or b"{}")
    sent, url = given.resource("valueSet"), given.one("url")
    if sent is not None:
        if sent.get("resourceType") != "ValueSet":
            raise InvalidRequest("valueSet is a ValueSet", location="valueSet")
        return sent
    if url is None:
        raise InvalidRequest("the operation needs url or valueSet", location="url")
    version_of = given.one("valueSetVersion")
    found = await terminology.value_set(f"{url}|{version_of}" if version_of else url)
    if found is None:
        raise NotFound("there is no such value set")
    return found


def _flat(members: Sequence[Member], designations: bool) -> list[dict[str, Any]]:
    return [_entry(member, designations) for member in members]


def _nested(members: Sequence[Member], designations: bool) -> list[dict[str, Any]]:
    """Return entries, each below the first of its parents that is a member too."""
    entries = {(it.system, it.concept.code): _entry(it, designations) for it in members}
    tops: list[dict[str, Any]] = []
    for member in members:
        entry = entries[member.system, member.concept.code]
        above = next((it for it in member.concept.parents if (member.system, it) in entries), None)
        circle = above is not None and member.concept.code in _ancestry(above, member.system, members)
        if above is None or circle:
            tops.append(entry)
        else:
            entries[member.system, above].setdefault("contains", []).append(entry)
    return tops


def _ancestry(code: str, system: str, members: Sequence[Member]) -> set[str]:
    """Return a member and what stands above it by first parents: only circles make this long."""
    by_code = {it.concept.code: it for it in members if it.system == system}
    seen: set[str] = set()
    at: str | None = code
    while at is not None and at not in seen:
        seen.add(at)
        held = by_code.get(at)
        at = next((it for it in held.concept.parents if it in by_code), None) if held is not None else None
    return seen


def _entry(member: Member, designations: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"system": member.system}
    if member.concept.abstract:
        entry["abstract"] = True
    if member.concept.inactive:
        entry["inactive"] = True
    if member.version is not None:
        entry["version"] = member.version
    entry["code"] = member.concept.code
    if member.shown is not None:
        entry["display"] = member.shown
    held: list[Mapping[str, Any]] = [*member.designations, *member.concept.designations]
    if designations and held:
        entry["designation"] = held
    return entry
