"""Noninterference cases: each is asked of a running API over two stores, one with what the requester may not see and
its twin without.

What is hidden is what the evaluator of decisions says. A case says in words what is to be done first and what is to
come of it: the sentences that are understood are those below, and one that is not is a failure, never passed over.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.fhir import codec
from hawsepipe.model import Principal, Resource, Version
from hawsepipe.subscriptions.topics import BUILT_IN
from hawsepipe_conformance.houses import ENDPOINT, Answer, House, Relabelling, house
from hawsepipe_conformance.timing import Timing, timed

_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_RECORDED: Final = "2026-01-01T00:00:00Z"
_WRITES: Final = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}
_CHANGING: Final = frozenset({"Date", "X-Request-Id"})
_CLOCK: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z|\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT")
_MADE: Final = re.compile(r"made-\d{8}")
_CURSOR: Final = re.compile(r"_cursor=[\w%-]+")

_DELETED: Final = re.compile(r"(\S+) has been deleted by its owner")
_RELABELLED: Final = re.compile(r"(\S+) version 1 was labelled (\w+); version 2 \(current\) is not")
_IDENTIFIED: Final = re.compile(r"(\S+) has identifier (\S+?)\|(\S+)")
_HOLDS: Final = re.compile(r"requester also holds (\S+)")
_NEXT: Final = re.compile(r"\{next link taken by (\S+)\}")
_BODY: Final = re.compile(
    r"(?P<type>[A-Z]\w+)(?: for (?P<patient>[\w.-]+))?(?:, identifier (?P<system>\S+?)\|(?P<value>\S+))?"
    r"(?: with (?P<element>\w+) (?P<target>[A-Z]\w+/[\w.-]+))?"
)
_STILL: Final = re.compile(r"(?:and )?(?:the resource|(\S+)) (?:is still there|still exists)")
_EVENTS: Final = re.compile(
    r"create (?P<type>[A-Z]\w+) (?P<events>.+) while \w+ holds a subscription on (?P=type)\?(?P<query>\S+)"
)
_EVENT: Final = re.compile(r"([\w.-]+) \((\w+)\)")
_TRIES: Final = 250
_MORE: Final = 0.2
"""Seconds in which something that must not be told would have come."""

_QUEUED: Final = "new resource is created and the pair is queued for duplicate review by staff allowed to see both"
_LISTS: Final = frozenset({"basedOn", "derivedFrom", "focus", "hasMember", "partOf", "performer"})
_UNDERSTOOD: Final = frozenset(
    {
        *("status", "statusIn", "total", "ids", "idsUnordered", "notIds", "forbidden", "next", "sameAs", "sideEffect"),
        *("statistic", "notifications", "eventNumbers", "sealCovers", "sealIndependentOf"),
    }
)


class Unclear(Exception):
    """A case says something that is not understood here."""


@dataclass(frozen=True, slots=True)
class Told:
    """A case, read. `scopes` are those that its requester needs besides the ones stated."""

    case: Mapping[str, Any]
    store: tuple[Resource, ...]
    deleted: tuple[str, ...] = ()
    labelled: Mapping[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()

    @property
    def requester(self) -> Principal:
        """Who asks. A case about a write is asked by somebody who may write: its subject is what consents leave."""
        stated, http = self.case["requester"], self.case["http"]
        scopes = {*stated["scopes"].split(), *self.scopes}
        if (verb := _WRITES.get(http["method"])) is not None:
            kind = re.split(r"[/?]", http["path"].lstrip("/"))[0]
            scopes.add(f"user/{kind}.{verb}")
        if http["method"] == "EVENT":
            scopes.add("user/Subscription.c")
        launch = stated.get("launchPatient")
        return Principal(
            subject=stated["user"],
            client=stated["client"].removeprefix("Device/"),
            tenant=stated["tenant"],
            scopes=frozenset(scopes),
            roles=frozenset({stated["roleCode"]}),
            purpose=stated["purpose"],
            patient=None if launch is None else launch.removeprefix("Patient/"),
            actors=frozenset({stated["client"]} | ({stated["role"]} if "role" in stated else set())),
        )


async def differences(case: Mapping[str, Any], settings: PolicySettings, folder: Path, timing: Timing) -> list[str]:
    """Run one case; return what was not as expected. Its files go below `folder`."""
    try:
        told = _read(case)
        unknown = set(case["expect"]) - _UNDERSTOOD
        if unknown:
            raise Unclear(f"expectation {', '.join(sorted(unknown))}")
        return await _run(told, settings, folder, timing)
    except Unclear as error:
        return [f"not understood: {error}"]


async def _run(told: Told, settings: PolicySettings, folder: Path, timing: Timing) -> list[str]:
    case, expect = told.case, told.case["expect"]
    now = datetime.fromisoformat(case["requester"]["time"])
    labels: type[Labels] = Relabelling if told.labelled else Labels
    async with AsyncExitStack() as stack:
        whole = await stack.enter_async_context(house(folder / "whole", settings, now, labels=labels))
        await _fill(whole, told)
        hidden = [name for name in _names(told) if not await whole.sees(told.requester, await _held(whole, name))]
        twin = await stack.enter_async_context(house(folder / "twin", settings, now, labels=labels))
        await _fill(twin, told, frozenset(hidden))
        if case["http"]["method"] == "EVENT":
            return list(watched(await _told(whole, told), await _told(twin, told), expect))
        if "statistic" in expect:
            return await timed(whole, told.requester, case["http"]["path"], timing)
        before = {name: await _held(whole, name) for name in hidden}
        answers = [await _asked(one, told, case["http"]) for one in (whole, twin)]
        found = list(_compared(answers[0], expect, case["http"]))
        found += _alike(answers[0], answers[1], "the twin", case["http"], case["http"]) if not told.labelled else []
        if "sameAs" in expect:
            other = await _asked(whole, told, expect["sameAs"])
            found += _alike(answers[0], other, expect["sameAs"]["path"], case["http"], expect["sameAs"])
        found += [f"{name} was changed" for name, held in before.items() if await _held(whole, name) != held]
        if "sideEffect" in expect:
            found += await _followed(whole, told, expect["sideEffect"], answers[0])
        return found


# -- reading -----------------------------------------------------------------------------------------------------------


def _read(case: Mapping[str, Any]) -> Told:
    resources = {f"{it['resourceType']}/{it['id']}": it for it in json.loads(json.dumps(case["store"]))}
    told = Told(case, ())
    for sentence in filter(None, map(str.strip, case.get("precondition", "").split("; "))):
        # The one with a semicolon inside comes in two halves.
        if sentence.startswith("version 2 (current)"):
            continue
        if match := _DELETED.fullmatch(sentence):
            told = replace(told, deleted=(*told.deleted, _name(match[1], resources)))
        elif match := _RELABELLED.fullmatch(f"{sentence}; version 2 (current) is not"):
            told = replace(told, labelled={**told.labelled, _name(match[1], resources): match[2]})
        elif match := _IDENTIFIED.fullmatch(sentence):
            named = resources[_name(match[1], resources)]
            named.setdefault("identifier", []).append({"system": match[2], "value": match[3]})
        elif match := _HOLDS.fullmatch(sentence):
            told = replace(told, scopes=(*told.scopes, match[1]))
        else:
            raise Unclear(f"precondition {sentence!r}")
    return replace(told, store=tuple(resources.values()))


def _name(text: str, resources: Mapping[str, Resource]) -> str:
    found = [name for name in resources if text in {name, name.partition("/")[2]}]
    if len(found) != 1:
        raise Unclear(f"{text} names {len(found)} resources")
    return found[0]


def _names(told: Told) -> list[str]:
    return [f"{it['resourceType']}/{it['id']}" for it in told.store]


def _body(text: str) -> bytes:
    match = _BODY.fullmatch(text)
    if match is None:
        raise Unclear(f"body {text!r}")
    made: Resource = {"resourceType": match["type"], "status": "final", "code": {"text": "a reading"}}
    made["subject"] = {"reference": f"Patient/{match['patient'] or 'p1'}"}
    if match["value"]:
        made["identifier"] = [{"system": match["system"], "value": match["value"]}]
    if match["target"]:
        reference = {"reference": match["target"]}
        made[match["element"]] = [reference] if match["element"] in _LISTS else reference
    return codec.encode(made)


# -- acting ------------------------------------------------------------------------------------------------------------


async def _fill(one: House, told: Told, without: frozenset[str] | None = None) -> None:
    """Store what a case states, for its twin `without` what is hidden and without what a duty takes away."""
    redacted = [] if without is None else [duty["path"] for duty in told.case.get("obligations", ())]
    without = without or frozenset()
    groups: dict[str, list[Resource]] = {}
    kept = [it for it in told.store if f"{it['resourceType']}/{it['id']}" not in without]
    for resource in [*told.case["consents"], *kept]:
        instant = str(resource.get("meta", {}).get("lastUpdated", _RECORDED))
        groups.setdefault(instant, []).append(_without(resource, redacted))
    for instant in sorted(groups, key=datetime.fromisoformat):
        first = [_labelled(it, told.labelled) for it in groups[instant]]
        await one.put(first, datetime.fromisoformat(instant))
    for name in told.labelled:
        resource = next(it for it in kept if f"{it['resourceType']}/{it['id']}" == name)
        await one.put([resource], datetime.fromisoformat(_last(groups)) + timedelta(hours=1))
    for name in told.deleted:
        if name not in without:
            kind, _, identity = name.partition("/")
            await one.delete(kind, identity, datetime.fromisoformat(_last(groups)) + timedelta(hours=1))


def _last(groups: Mapping[str, Any]) -> str:
    return max(groups, key=datetime.fromisoformat)


def _labelled(resource: Resource, labelled: Mapping[str, str]) -> Resource:
    code = labelled.get(f"{resource['resourceType']}/{resource['id']}")
    if code is None:
        return resource
    meta = {**resource.get("meta", {}), "security": [{"system": _ACT_CODE, "code": code}]}
    return {**resource, "meta": meta}


def _without(resource: Resource, paths: Sequence[str]) -> Resource:
    gone = {path.partition(".")[2] for path in paths if path.partition(".")[0] == resource["resourceType"]}
    return {name: value for name, value in resource.items() if name not in gone}


async def _told(one: House, told: Told) -> list[tuple[int, str]]:
    """Subscribe, let the events of a case happen, and return what is told: number and id."""
    match = _EVENTS.fullmatch(told.case["http"]["path"])
    if match is None:
        raise Unclear(f"events {told.case['http']['path']!r}")
    kind = match["type"]
    made = await one.ask(
        told.requester, "POST", "Subscription", body=codec.encode(_subscription(kind, f"{kind}?{match['query']}"))
    )
    if made.status != 201:
        raise Unclear(f"a subscription is answered by {made.status}: {made.body!r}")
    await _until(one, 1)  # the handshake
    for part in match["events"].split(" then "):
        event = _EVENT.fullmatch(part)
        if event is None:
            raise Unclear(f"event {part!r}")
        identity, label = event.groups()
        resource = {**next(it for it in told.store if it["resourceType"] == kind), "id": identity}
        security = [] if label == "normal" else [{"system": _ACT_CODE, "code": label}]
        await one.put([{**resource, "meta": {"security": security}} if security else resource], one.clock.now)
        one.subscriptions.wake()
    await _until(one, 2)
    await asyncio.sleep(_MORE)
    return [event for body in one.told.bodies for event in _events(codec.decode(body))]


async def _until(one: House, count: int) -> None:
    for _ in range(_TRIES):
        if len(one.told.bodies) >= count:
            return
        await asyncio.sleep(0.02)


def _subscription(kind: str, query: str) -> Resource:
    guide = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
    content = {"extension": [{"url": f"{guide}payload-content", "valueCode": "id-only"}]}
    narrowed = {"extension": [{"url": f"{guide}filter-criteria", "valueString": query}]}
    return {
        "resourceType": "Subscription",
        "meta": {"profile": [f"{guide}subscription"]},
        "status": "requested",
        "reason": "to be told",
        "criteria": f"{BUILT_IN}{kind}",
        "_criteria": narrowed,
        "channel": {
            "type": "rest-hook",
            "endpoint": ENDPOINT,
            "payload": "application/fhir+json",
            "_payload": content,
        },
    }


def _events(bundle: Resource) -> Iterator[tuple[int, str]]:
    for part in bundle["entry"][0]["resource"]["parameter"]:
        if part["name"] == "notification-event":
            inner = {it["name"]: it for it in part["part"]}
            focus = inner["focus"]["valueReference"]["reference"]
            yield int(inner["event-number"]["valueString"]), focus.rpartition("/")[2]


def watched(
    whole: Sequence[tuple[int, str]], twin: Sequence[tuple[int, str]], expect: Mapping[str, Any]
) -> Iterator[str]:
    """Yield what of the events that were told is not as expected, or not as in the twin."""
    numbers, ids = [number for number, _ in whole], [identity for _, identity in whole]
    if ids != expect["notifications"]:
        yield f"told of {', '.join(ids) or 'nothing'} instead of {', '.join(expect['notifications'])}"
    if numbers != expect["eventNumbers"]:
        yield f"numbers {numbers} instead of {expect['eventNumbers']}"
    if whole != twin:
        yield f"the twin is told {twin}"


async def _held(one: House, name: str) -> Version | None:
    kind, _, identity = name.partition("/")
    return await one.store.read(kind, identity)


async def _asked(one: House, told: Told, http: Mapping[str, Any]) -> Answer:
    path = str(http["path"])
    if match := _NEXT.fullmatch(path):
        other = replace(told.requester, subject=match[1])
        page = await one.ask(other, "GET", "Observation?subject=Patient/p1&_count=1")
        links = [it["url"] for it in page.resource.get("link", ()) if it["relation"] == "next"]
        if not links:
            raise Unclear("there is no next link to take")
        path = links[0].rpartition("/fhir/")[2]
    body = _body(http["body"]) if "body" in http else None
    headers = {"Prefer": "handling=strict", **http.get("headers", {})} if "headers" in http else {}
    return await one.ask(told.requester, http["method"], path, body=body, headers=headers)


# -- judging -----------------------------------------------------------------------------------------------------------


def _compared(answer: Answer, expect: Mapping[str, Any], http: Mapping[str, Any]) -> Iterator[str]:
    wanted = expect.get("statusIn", [expect["status"]] if "status" in expect else [answer.status])
    if answer.status not in wanted:
        yield f"status {answer.status} instead of {' or '.join(map(str, wanted))}"
    body = answer.resource or {}
    shown = list(_shown(body, versioned=any("/_history/" in it for it in expect.get("ids", ()))))
    if "total" in expect and body.get("total", sum(mode == "match" for _, mode in shown)) != expect["total"]:
        yield f"total {body.get('total')} instead of {expect['total']}"
    if "ids" in expect:
        found, ids = [name for name, _ in shown], list(expect["ids"])
        if (sorted(found), sorted(ids)) != (found, ids) and expect.get("idsUnordered"):
            found, ids = sorted(found), sorted(ids)
        if found != ids:
            yield f"{', '.join(found) or 'nothing'} instead of {', '.join(ids) or 'nothing'}"
    for name in expect.get("notIds", ()):
        if name in {shown_name for shown_name, _ in shown}:
            yield f"{name} is shown"
    text = answer.body.decode("utf-8")
    for word in expect.get("forbidden", ()):
        # The bare id of a hidden target may stay in a reference; it is no name of anything.
        if re.search(rf"(?<![\w/]){re.escape(word)}(?!\w)", text):
            yield f"{word} is told"
    if "next" in expect and any(it["relation"] == "next" for it in body.get("link", ())) != expect["next"]:
        yield "there is a next link" if not expect["next"] else "there is no next link"
    if "sealCovers" in expect:
        yield f"no seal came with the answer to {http.get('headers', {})}"


def _shown(body: Mapping[str, Any], *, versioned: bool) -> Iterator[tuple[str, str]]:
    for entry in body.get("entry", ()):
        resource = entry.get("resource")
        if resource is None or resource["resourceType"] == "OperationOutcome":
            continue
        name = f"{resource['resourceType']}/{resource['id']}"
        version = f"/_history/{resource['meta']['versionId']}" if versioned else ""
        yield name + version, entry.get("search", {}).get("mode", "match")


def _alike(one: Answer, other: Answer, what: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    left, right = _normal(one, first, second), _normal(other, second, first)
    for name, mine, theirs in zip(("status", "headers", "body"), left, right, strict=True):
        if mine != theirs:
            yield f"{name} not as of {what}: {mine!r} against {theirs!r}"[:600]


def _normal(answer: Answer, mine: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body without what a clock and a counter make, and without where the requests differ
    themselves.
    """
    parts = [re.split(r"[/?=&| ]", f"{it['path']} {it.get('body', '')}") for it in (mine, other)]
    words = {word for word in parts[0] if word and word not in parts[1]}

    def plain(text: str) -> str:
        for pattern in (_CLOCK, _MADE, _CURSOR):
            text = pattern.sub("*", text)
        for word in words:
            text = text.replace(word, "*")
        return text

    length = {} if words else {"Content-Length": str(answer.headers.get("Content-Length"))}
    headers = {
        name: plain(value)
        for name, value in answer.headers.items()
        if name not in _CHANGING and name != "Content-Length"
    }
    return answer.status, headers | length, plain(answer.body.decode("utf-8"))


async def _followed(one: House, told: Told, effect: str, answer: Answer) -> list[str]:
    if _STILL.fullmatch(effect):  # whatever is hidden is looked at after every case
        return []
    if effect != _QUEUED:
        raise Unclear(f"side effect {effect!r}")
    officer = replace(told.requester, roles=frozenset({"privacy-officer"}), subject="Practitioner/officer")
    officer = replace(officer, scopes=frozenset({"user/*.rs"}))
    made = (answer.headers.get("Location") or "").rpartition("/fhir/")[2].partition("/_history")[0]
    page = await one.ask(officer, "GET", "Task?code=possible-duplicate&status=requested")
    queued = [it["resource"]["focus"]["reference"] for it in (page.resource or {}).get("entry", ())]
    return [] if made and made in queued else ["the pair is not queued"]
