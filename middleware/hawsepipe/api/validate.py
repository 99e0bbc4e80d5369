"""$validate: https://hl7.org/fhir/R4/resource-operation-validate.html"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from hawsepipe.api.call import Call
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.rendering import resource
from hawsepipe.api.terminology import Terminology
from hawsepipe.errors import InvalidRequest, InvalidResource
from hawsepipe.fhir import codec, invariants
from hawsepipe.fhir.conformance import Knowledge, conforms
from hawsepipe.fhir.outcome import outcome
from hawsepipe.fhir.profiles import bindings, profile, profiles_named
from hawsepipe.fhir.value_sets import expand
from hawsepipe.model import Issue, Resource, Severity

_MODES: Final = frozenset({"create", "update", "delete", "profile"})
_MOST: Final = 100
"""Profiles that one resource may lead to."""


async def validate(call: Call) -> Response:
    """Answer with the findings about a resource that is sent, or about one that is stored; 200 whatever they are.

    The resource comes alone or as a parameter, beside `mode` and `profile`. It is held against R4, and against the
    profiles that are asked for and those that it claims, as far as the requester sees them; what is not checked is
    told.
    """
    given = inputs(call, {"resource", "mode", "profile"}, alone="resource")
    mode = given.one("mode")
    if mode not in {None, *_MODES}:
        raise InvalidRequest("the mode is create, update, delete or profile", location="mode")
    held = given.resource("resource")
    if held is None and "id" in call.path and (call.request.method == "GET" or mode == "delete"):
        content = (await call.view.read(call.type, call.id)).content
        assert content is not None, "a view raises Gone for a tombstone"
        held = codec.decode(content)
    if held is None and mode != "delete":
        raise InvalidRequest("there is no resource to validate", location="resource")
    issues: list[Issue] = []
    if held is not None and mode != "delete":
        issues = _against_r4(call, held, mode)
        issues += await _against_profiles(call, held, given.several("profile"))
    return resource(outcome(issues), call.format)


def _against_r4(call: Call, held: Resource, mode: str | None) -> list[Issue]:
    issues: list[Issue] = []
    if held.get("resourceType") != call.type:
        text = f"the resource is not a {call.type}, as the address says"
        issues.append(Issue(Severity.ERROR, "invalid", "resourceType", text))
    if mode == "update" and held.get("id") != call.path.get("id", held.get("id")):
        issues.append(Issue(Severity.ERROR, "invalid", f"{call.type}.id", "an update needs the id of the address"))
    return [*issues, *call.services.check(held)]


async def _against_profiles(call: Call, held: Resource, asked: Collection[str]) -> list[Issue]:
    meta = held.get("meta")
    stated = meta.get("profile") if isinstance(meta, dict) else None
    claimed = [it for it in stated if isinstance(it, str)] if isinstance(stated, list) else []
    wanted = dict.fromkeys([*asked, *claimed])
    if not wanted:
        return []
    terminology = Terminology(call)
    knowledge = await _known(terminology, wanted)
    issues: list[Issue] = []
    for url in wanted:
        found = knowledge.profiles.get(url.partition("|")[0])
        if found is None:
            text = "the profile is not known here: not checked"
            issues.append(Issue(Severity.WARNING, "not-supported", "profile" if url in asked else "meta.profile", text))
        else:
            # Profiles are clients' own: however long one takes, others are answered meanwhile.
            issues += await asyncio.to_thread(conforms, held, found, knowledge)
    return list(dict.fromkeys(issues))


async def _known(terminology: Terminology, wanted: Iterable[str]) -> Knowledge:
    """Return the profiles that are wanted, those that they name, and the value sets that these bind to."""
    knowledge = Knowledge(holds=invariants.holds)
    waiting = list(wanted)
    seen: set[str] = set()
    while waiting and len(seen) < _MOST:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        found = await terminology.resource("StructureDefinition", url)
        if found is not None:
            one = knowledge.profiles[url.partition("|")[0]] = profile(found)
            waiting += [*profiles_named(one.root), *([one.base] if one.base is not None else [])]
    for address in {it for one in knowledge.profiles.values() for it in bindings(one.root)}:
        knowledge.codes[address] = await _codes(terminology, address)
    return knowledge


async def _codes(terminology: Terminology, address: str) -> Collection[tuple[str, str]] | None:
    value_set = await terminology.value_set(address)
    if value_set is None:
        value_set = await terminology.value_set(address.partition("|")[0])
    try:
        members = [] if value_set is None else expand(value_set, await terminology.shelf(value_set))
    except InvalidResource:
        return None
    return None if value_set is None else frozenset((it.system, it.concept.code) for it in members)
