"""The folded formulas say what the decision says; and the laws that both keep."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hawsepipe.consent.consents import gathered
from hawsepipe.consent.decide import decide
from hawsepipe.consent.directives import directive
from hawsepipe.consent.directory import Directory
from hawsepipe.consent.formula import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import DENY, PolicySettings
from hawsepipe.consent.request import Request, request
from hawsepipe.consent.targets import throughout
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Principal, Resource
from hawsepipe.visibility import Subject, holds, joined, visible

LABELS = Labels()
QUICK: dict[str, Any] = {"deadline": None, "database": None}
SEEDS = st.integers(0, 2**40)
MANY = 100_000
"""Examples when a law is soaked (docs/access.md)."""


def examples(usual: int) -> pytest.MarkDecorator:
    """Run a test with its usual number of examples, and when it is soaked with many."""
    return pytest.mark.parametrize("count", [usual, pytest.param(MANY, marks=pytest.mark.soak)])


Fixtures = dict[str, Any]


def asked(fields: Fixtures, directory: Fixtures, now: datetime) -> Request:
    values = {name: value for name, value in fields.items() if name != "interaction"}
    principal = Principal(client="ehr", tenant="main", **values)
    return request(principal, fields["interaction"], now, Directory(directory))


def subject(resource: Resource, instants: tuple[int, int], labelled: bool) -> Subject:
    shown = LABELS.label(resource, None) if labelled else resource
    return Subject(
        resource["resourceType"], resource["id"], patients_of(resource), instants[0], instants[1], LABELS.facets(shown)
    )


def permitted(consents: list[Resource], one: Subject, by: Request, house: PolicySettings) -> bool:
    return decide(by, one, gathered(read(consents)), house).permit


def read(consents: list[Resource]) -> Iterator[Any]:
    return (one for consent in consents if (one := directive(consent)) is not None)


@examples(3000)
def test_a_folded_formula_shows_exactly_what_the_decision_permits(
    world: Any, directory_resources: Fixtures, noon: datetime, count: int
) -> None:
    permits = checked = 0

    @settings(max_examples=count, **QUICK)
    @given(SEEDS)
    def agree(seed: int) -> None:
        nonlocal permits, checked
        draw = world(seed)
        by, policy = asked(draw.request(), directory_resources, noon), PolicySettings(**draw.settings())
        held = gathered(read(draw.consents()))
        folded = visibility(by, held, policy)
        for _ in range(4):
            one = subject(draw.resource(), draw.instants(), not draw.chance(8))
            decision = decide(by, one, held, policy)
            assert visible(folded, one) == decision.permit, decision.reasons
            permits += decision.permit
            checked += 1

    agree()
    assert permits > checked / 10


def test_a_provenance_is_searched_as_it_is_read_and_no_further_than_all_its_targets(
    world: Any, directory_resources: Fixtures, noon: datetime
) -> None:
    permits = checked = 0

    @settings(max_examples=1000, **QUICK)
    @given(SEEDS)
    def agree(seed: int) -> None:
        nonlocal permits, checked
        draw = world(seed)
        by, policy = asked(draw.request(), directory_resources, noon), PolicySettings(**draw.settings())
        held = gathered(read(draw.consents()))
        folded = visibility(by, held, policy)
        for _ in range(4):
            targets: list[Any] = [
                subject(draw.resource(), draw.instants(), not draw.chance(8)) for _ in draw.few(lambda: 0)
            ]
            one = about(targets, draw)
            decision = decide(by, one, held, policy)
            assert visible(folded, one) == decision.permit, decision.reasons
            if decision.permit:
                assert all(decide(by, target, held, policy).permit for target in targets if target is not None)
            permits += decision.permit
            checked += 1

    agree()
    assert permits > checked / 30


def test_a_house_rule_holds_of_a_provenance_only_if_it_holds_of_all_its_targets(world: Any) -> None:
    held = checked = 0

    @settings(max_examples=500, **QUICK)
    @given(SEEDS)
    def narrows(seed: int) -> None:
        nonlocal held, checked
        draw = world(seed)
        targets = [subject(draw.resource(), draw.instants(), not draw.chance(8)) for _ in draw.few(lambda: 0)]
        last = max(target.last_updated for target in targets)
        targets = [replace(target, last_updated=last) for target in targets]  # all of one transaction
        one = about(list(targets), draw)
        for _ in range(6):
            rule = draw.formula(targets)
            assert all(holds(throughout(rule), target) == holds(rule, target) for target in targets)
            if holds(throughout(rule), one):
                assert all(holds(rule, target) for target in targets), rule
                held += 1
            checked += 1

    narrows()
    assert held > checked / 20


def about(targets: list[Any], draw: Any) -> Subject:
    """A Provenance of these versions, which now and then names one that is not there."""
    last = max(target.last_updated for target in targets)
    named = [{"reference": f"{target.type}/{target.id}/_history/1"} for target in targets]
    resource = {
        "resourceType": "Provenance",
        "id": "v",
        "target": named,
        "agent": [{"who": {"reference": "Practitioner/alice"}}],
        "activity": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
    }
    if draw.chance(15):
        targets.append(None)
    patients = tuple({patient: None for target in targets if target for patient in target.patients})
    shown = LABELS.label(resource, None)
    own = Subject("Provenance", "v", patients, last, last, LABELS.facets(shown))
    return replace(own, facets=joined(own, targets))


@examples(1000)
def test_a_code_that_becomes_unknown_never_opens_anything(
    world: Any, directory_resources: Fixtures, noon: datetime, count: int
) -> None:
    @settings(max_examples=count, **QUICK)
    @given(SEEDS)
    def narrows(seed: int) -> None:
        draw = world(seed)
        by, policy = asked(draw.request(), directory_resources, noon), PolicySettings(**draw.settings())
        consents, one = draw.consents(), subject(draw.resource(), draw.instants(), True)
        before = permitted(consents, one, by, policy)
        if before:
            return
        for number in range(sum(1 for consent in consents for _ in closed_codes(consent))):
            garbled = copy.deepcopy(consents)
            holder, name = [place for consent in garbled for place in closed_codes(consent)][number]
            holder[name] = "garbled"
            assert not permitted(garbled, one, by, policy), (number, name)

    narrows()


def closed_codes(consent: Resource) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield where a code of a closed code system stands: not those of LOINC or SNOMED, where nobody can tell."""
    yield consent, "status"
    for coding in consent["scope"]["coding"] + consent.get("policyRule", {}).get("coding", []):
        yield coding, "code"
    stack = [consent["provision"]]
    while stack:
        provision = stack.pop()
        stack += provision.get("provision", [])
        if "type" in provision:
            yield provision, "type"
        concepts = [*provision.get("action", []), *(actor["role"] for actor in provision.get("actor", []))]
        codings = [*provision.get("purpose", []), *provision.get("securityLabel", []), *provision.get("class", [])]
        for coding in [*codings, *(coding for concept in concepts for coding in concept["coding"])]:
            if coding["system"] != "urn:ietf:rfc:3986":
                yield coding, "code"
        for datum in provision.get("data", []):
            yield datum, "meaning"


def test_a_label_that_becomes_unknown_never_opens_a_resource(
    world: Any, directory_resources: Fixtures, noon: datetime
) -> None:
    @settings(max_examples=1500, **QUICK)
    @given(SEEDS)
    def narrows(seed: int) -> None:
        draw = world(seed)
        by, policy = asked(draw.request(), directory_resources, noon), PolicySettings(**draw.settings())
        consents, instants, labelled = draw.consents(), draw.instants(), LABELS.label(draw.resource(), None)
        before = permitted(consents, subject(labelled, instants, False), by, policy)
        for number, label in enumerate(labelled["meta"]["security"]):
            if label["code"] in ("MASK", "sealed") or before:
                continue
            garbled = copy.deepcopy(labelled)
            garbled["meta"]["security"][number]["code"] = "garbled"
            assert not permitted(consents, subject(garbled, instants, False), by, policy)

    narrows()


@examples(1500)
def test_a_further_consent_that_only_denies_never_opens_anything(
    world: Any, directory_resources: Fixtures, noon: datetime, count: int
) -> None:
    @settings(max_examples=count, **QUICK)
    @given(SEEDS)
    def narrows(seed: int) -> None:
        draw = world(seed)
        by, policy = asked(draw.request(), directory_resources, noon), PolicySettings(**draw.settings())
        consents, one, further = draw.consents(), subject(draw.resource(), draw.instants(), True), draw.consent()
        # A consent with the business identifier of another replaces it, which is another law.
        denying = {name: value for name, value in further.items() if name not in {"policyRule", "identifier"}}
        denying["provision"] = only_deny(further["provision"])
        assert permitted([*consents, denying], one, by, policy) <= permitted(consents, one, by, policy)

    narrows()


@examples(1500)
def test_a_further_consent_that_only_permits_never_closes_anything_under_a_default_that_denies(
    world: Any, directory_resources: Fixtures, noon: datetime, count: int
) -> None:
    @settings(max_examples=count, **QUICK)
    @given(SEEDS)
    def widens(seed: int) -> None:
        draw = world(seed)
        policy = replace(PolicySettings(**draw.settings()), default_policy=DENY)
        by = asked(draw.request(), directory_resources, noon)
        consents, one, further = draw.consents(), subject(draw.resource(), draw.instants(), True), draw.consent()
        left = {"policyRule", "identifier", "modifierExtension"}
        permitting = {name: value for name, value in further.items() if name not in left}
        permitting["provision"] = only_permit(further["provision"])
        assert permitted([*consents, permitting], one, by, policy) >= permitted(consents, one, by, policy)

    widens()


def only_permit(provision: dict[str, Any]) -> dict[str, Any]:
    nested = [only_permit(child) for child in provision.get("provision", [])]
    plain = {name: value for name, value in provision.items() if name != "modifierExtension"}
    return {**plain, "type": "permit", "provision": nested}


def only_deny(provision: dict[str, Any]) -> dict[str, Any]:
    nested = [only_deny(child) for child in provision.get("provision", [])]
    return {**provision, "type": "deny", "provision": nested}


@pytest.mark.parametrize("interaction", ["read", "search-type"])
def test_another_tenant_sees_nothing(interaction: str, noon: datetime, directory_resources: Fixtures) -> None:
    fields = {"subject": "Practitioner/a", "scopes": frozenset({"user/*.rs"}), "interaction": interaction}
    one = subject({"resourceType": "Organization", "id": "o"}, (0, 0), True)
    by = asked(fields, directory_resources, noon)
    assert decide(by, one, gathered([]), PolicySettings(tenant="other")).reasons == ("tenant",)
    assert not visible(visibility(by, gathered([]), PolicySettings(tenant="other")), one)
    assert visible(visibility(by, gathered([]), PolicySettings()), one)
