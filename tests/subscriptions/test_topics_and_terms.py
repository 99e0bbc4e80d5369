"""What can be subscribed to, where notifications may go, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from hawsepipe.errors import ConfigError, InvalidResource
from hawsepipe.model import Operation, Resource
from hawsepipe.subscriptions.terms import Allowed, Content, read
from hawsepipe.subscriptions.topics import BUILT_IN, topic, topics

GUIDE = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
CROSS = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic."
ALLOWED = Allowed(("https://hooks.example.org/fhir/", "https://all.example.org"), 10)


def subscription(**channel: Any) -> Resource:
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "test",
        "criteria": f"{BUILT_IN}Observation",
        "channel": {
            "type": "rest-hook",
            "endpoint": "https://hooks.example.org/fhir/a",
            "payload": "application/fhir+json",
            **channel,
        },
    }


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://hooks.example.org/fhir/a", True),
        ("https://hooks.example.org/fhir", True),
        ("https://HOOKS.example.org/fhir/a?b=c", True),
        ("https://all.example.org/x/y", True),
        ("https://all.example.org", True),
        ("http://hooks.example.org/fhir/a", False),
        ("https://hooks.example.org:444/fhir/a", False),
        ("https://hooks.example.org/fhirx", False),
        ("https://hooks.example.org/", False),
        ("https://hooks.example.org/fhir/../admin", False),
        ("https://hooks.example.org/fhir/..", False),
        ("https://hooks.example.org/fhir/%2e%2e/admin", False),
        ("https://hooks.example.org/fhir/..%2fadmin", False),
        ("https://hooks.example.org\\@evil.example/fhir/a", False),
        ("https://user@hooks.example.org/fhir/a", False),
        ("https://hooks.example.org@evil.example/fhir/a", False),
        ("https://hooks.example.org.evil.example/fhir/a", False),
        ("https://hooks.example.org/fhir/a#b", False),
        ("https://hooks.example.org/fhir/a\r\nHost: evil", False),
        ("ftp://hooks.example.org/fhir/a", False),
        ("", False),
    ],
)
def test_only_addresses_below_an_allowed_one_are_called(url: str, allowed: bool) -> None:
    assert ALLOWED.endpoint(url) is allowed


def test_without_an_allowed_address_there_is_none() -> None:
    assert not Allowed().endpoint("https://hooks.example.org/fhir/a")


def test_a_subscription_is_read() -> None:
    content = {"extension": [{"url": f"{GUIDE}payload-content", "valueCode": "id-only"}]}
    more = [
        {"url": f"{GUIDE}heartbeat-period", "valueUnsignedInt": 60},
        {"url": f"{GUIDE}max-count", "valueInteger": 3},
    ]
    sent = subscription(header=["Authorization: Bearer x"], _payload=content, extension=more)
    sent["_criteria"] = {"extension": [{"url": f"{GUIDE}filter-criteria", "valueString": "Observation?status=final"}]}
    asked = read(sent, topics(["Observation"], None), ALLOWED)
    assert asked.filters == (("Observation", "status=final"),)
    assert asked.headers == (("Authorization", "Bearer x"),)
    assert (asked.content, asked.most) == (Content.ID_ONLY, 3)
    assert asked.heartbeat is not None


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "https://evil.example/"},
        {"type": "email"},
        {"payload": "text/plain"},
        {"header": ["Host: evil"]},
        {"header": ["X: a\r\nY: b"]},
        {"extension": [{"url": f"{GUIDE}heartbeat-period", "valueUnsignedInt": 1}]},
        {"extension": [{"url": "urn:other", "valueCode": "a"}]},
        {"_payload": {"extension": [{"url": f"{GUIDE}payload-content", "valueCode": "all"}]}},
    ],
)
def test_what_is_not_kept_is_refused(change: Resource) -> None:
    with pytest.raises(InvalidResource):
        read(subscription(**change), topics(["Observation"], None), ALLOWED)


@pytest.mark.parametrize(
    "change",
    [
        {"criteria": "urn:none"},
        {"status": "error"},
        {"_criteria": {"extension": [{"url": f"{GUIDE}filter-criteria", "valueString": "Patient?name=a"}]}},
    ],
)
def test_an_unknown_topic_status_or_filter_is_refused(change: Resource) -> None:
    with pytest.raises(InvalidResource):
        read({**subscription(), **change}, topics(["Observation"], None), ALLOWED)


def test_topics_are_read_from_r5_and_from_basic(tmp_path: Path) -> None:
    r5 = {
        "resourceType": "SubscriptionTopic",
        "url": "https://example.org/topics/admission",
        "status": "active",
        "resourceTrigger": [{"resource": "Encounter", "supportedInteraction": ["create"]}],
        "canFilterBy": [{"resource": "Encounter", "filterParameter": "patient"}],
    }
    trigger = [
        {"url": "resource", "valueUri": "http://hl7.org/fhir/StructureDefinition/Encounter"},
        {"url": "supportedInteraction", "valueCode": "create"},
    ]
    can = [{"url": "resource", "valueUri": "Encounter"}, {"url": "filterParameter", "valueString": "patient"}]
    basic = {
        "resourceType": "Basic",
        "code": {"coding": [{"system": "http://hl7.org/fhir/fhir-types", "code": "SubscriptionTopic"}]},
        "extension": [
            {"url": f"{CROSS}url", "valueUri": r5["url"]},
            {"url": f"{CROSS}resourceTrigger", "extension": trigger},
            {"url": f"{CROSS}canFilterBy", "extension": can},
        ],
    }
    assert topic(r5) == topic(basic)
    assert topic(r5).triggers == {"Encounter": frozenset({Operation.CREATE})}
    assert topic(r5).filterable("Encounter", "patient")
    assert not topic(r5).filterable("Encounter", "status")
    (tmp_path / "one.json").write_bytes(msgspec.json.encode(basic))
    assert set(topics(["Patient"], tmp_path)) == {f"{BUILT_IN}Patient", r5["url"]}
    (tmp_path / "two.json").write_text("{}")
    with pytest.raises(ConfigError):
        topics(["Patient"], tmp_path)


@pytest.mark.parametrize("more", [{"queryCriteria": {"current": "a=b"}}, {"supportedInteraction": ["delete"]}])
def test_a_topic_that_cannot_be_kept_whole_is_refused(more: Resource) -> None:
    with pytest.raises(ConfigError):
        topic({"url": "urn:x", "resourceTrigger": [{"resource": "Encounter", **more}]})
