"""The rulings on discrepancies of the standards (letters as in the room's DESIGN.md), and standing of consents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hawsepipe.consent.consents import gathered
from hawsepipe.consent.decide import decide
from hawsepipe.consent.directives import directive
from hawsepipe.consent.directory import Directory
from hawsepipe.consent.formula import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import ALL_NORMAL, PolicySettings
from hawsepipe.consent.request import BreakGlass, request
from hawsepipe.consent.terms import terms
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Decision, Principal
from hawsepipe.visibility import Subject, visible

Json = dict[str, Any]
T = "http://terminology.hl7.org/CodeSystem/"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORDED = 1_770_714_000_000_000
ENCOUNTER: Json = {"resourceType": "Encounter", "id": "e", "diagnosis": [{"condition": {"reference": "Condition/dx"}}]}


def act(code: str) -> Json:
    return {"system": T + "v3-ActCode", "code": code}


def confidentiality(code: str) -> Json:
    return {"system": T + "v3-Confidentiality", "code": code}


def purpose(code: str) -> Json:
    return {"system": T + "v3-ActReason", "code": code}


def actor(reference: str, role: str = "IRCP") -> Json:
    return {
        "role": {"coding": [{"system": T + "v3-ParticipationType", "code": role}]},
        "reference": {"reference": reference},
    }


def consent(provision: Json | None = None, *, base: str | None = None, **more: Any) -> Json:
    found: Json = {
        "resourceType": "Consent",
        "id": "c",
        "status": "active",
        "scope": {"coding": [{"system": T + "consentscope", "code": "patient-privacy"}]},
        "patient": {"reference": "Patient/p"},
    }
    if provision is not None:
        found["provision"] = provision
    if base is not None:
        found["policyRule"] = {"coding": [act(base)]}
    return found | more


def observation(*labels: Json, **more: Any) -> Json:
    meta = {"security": list(labels)} if labels else {}
    about = {"subject": {"reference": "Patient/p"}, "effectiveDateTime": "2026-02-10"}
    return {"resourceType": "Observation", "id": "o", "meta": meta} | about | more


def decided(
    *consents: Json,
    resource: Json | None = None,
    who: str = "Practitioner/alice",
    why: str | None = "TREAT",
    default: str | None = None,
    emergency: BreakGlass | None = None,
    **fields: Any,
) -> Decision:
    """Decide, and see that the folded formula says the same."""
    labels = Labels()
    shown = labels.label(resource or observation(), None)
    one = Subject(shown["resourceType"], shown["id"], patients_of(shown), RECORDED, RECORDED, labels.facets(shown))
    principal = Principal(who, "ehr", "main", frozenset({"user/*.cruds"}), frozenset({"physician"}), why, **fields)
    settings = PolicySettings(break_glass_roles=frozenset({"physician"}))
    if default is not None:
        settings = PolicySettings(default_policy=default)
    by = request(principal, "read", NOW, Directory({"Encounter/e": ENCOUNTER}), emergency)
    held = gathered(found for entry in consents if (found := directive(entry)) is not None)
    decision = decide(by, one, held, settings)
    if emergency is None:
        assert visible(visibility(by, held, settings), one) == decision.permit
    return decision


def reason(*consents: Json, **fields: Any) -> str:
    return decided(*consents, **fields).reasons[0]


def test_ruling_a_a_root_may_have_a_type_or_take_it_from_the_policy_rule() -> None:
    assert reason(consent({"type": "permit"})) == "consent-permit"
    assert reason(consent({}, base="OPTIN")) == "consent-permit"
    assert reason(consent(None, base="OPTIN")) == "consent-permit"
    assert reason(consent({}, base="OPTOUT")) == "consent-deny"
    assert reason(consent({})) == "default-deny"


@pytest.mark.parametrize(("named", "label", "permit"), [("R", "N", True), ("R", "R", True), ("N", "R", False)])
def test_ruling_b_a_permit_covers_its_label_and_lower(named: str, label: str, permit: bool) -> None:
    rule = {"type": "permit", "securityLabel": [confidentiality(named)]}
    assert decided(consent(rule), resource=observation(confidentiality(label))).permit is permit


@pytest.mark.parametrize(("named", "label", "deny"), [("R", "N", False), ("R", "R", True), ("R", "V", True)])
def test_ruling_b_a_deny_covers_its_label_and_higher(named: str, label: str, deny: bool) -> None:
    rule = {
        "type": "permit",
        "securityLabel": [confidentiality("V")],
        "provision": [{"type": "deny", "securityLabel": [confidentiality(named)]}],
    }
    assert (reason(consent(rule), resource=observation(confidentiality(label))) == "consent-deny") is deny


def test_ruling_c_a_nested_rule_overrides_what_it_states_and_inherits_the_rest() -> None:
    focused = {"type": "permit", "actor": [actor("Practitioner/alice")], "securityLabel": [confidentiality("R")]}
    rule = {
        "type": "permit",
        "purpose": [purpose("TREAT")],
        "securityLabel": [confidentiality("N")],
        "provision": [focused],
    }
    restricted = observation(confidentiality("R"))
    assert decided(consent(rule), resource=restricted).permit
    assert not decided(consent(rule), resource=restricted, who="Practitioner/bob").permit
    assert not decided(consent(rule), resource=restricted, why="HPAYMT").permit


def test_ruling_d_related_goes_both_ways_for_a_deny_and_one_way_for_a_permit() -> None:
    related = [{"meaning": "related", "reference": {"reference": "Encounter/e"}}]
    pointing = observation(encounter={"reference": "Encounter/e"})
    pointed: Json = {"resourceType": "Condition", "id": "dx", "subject": {"reference": "Patient/p"}}
    deny = consent({"type": "permit", "provision": [{"type": "deny", "data": related}]})
    permit = consent({"type": "permit", "data": related})
    pcf = {"meta": {"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentBasic"]}}
    assert [decided(deny, resource=one).permit for one in (pointing, pointed, observation())] == [False, False, True]
    assert [decided(permit, resource=one).permit for one in (pointing, pointed, observation())] == [False, True, False]
    assert [decided(permit | pcf, resource=one).permit for one in (pointing, pointed)] == [True, False]


@pytest.mark.parametrize("sensitivity", ["SUD", "ETHUD", "OPIOIDUD", "ETH"])
def test_ruling_e_eth_covers_substance_use(sensitivity: str) -> None:
    resource = observation(act(sensitivity))
    deny = {"type": "permit", "provision": [{"type": "deny", "securityLabel": [act("ETH")]}]}
    assert reason(consent(deny), resource=resource) == "consent-deny"
    assert decided(consent({"type": "permit", "securityLabel": [act("ETH")]}), resource=resource).permit


def test_ruling_f_a_permit_for_treatment_covers_break_glass_and_only_a_deny_naming_it_refuses() -> None:
    claim = BreakGlass("unconscious in the emergency department", "ED", "p")
    assert reason(consent({"type": "permit", "purpose": [purpose("TREAT")]}), why="BTG") == "consent-permit"
    treat = consent({"type": "deny", "purpose": [purpose("TREAT")]})
    assert reason(treat, why="BTG") == "consent-deny"
    assert reason(treat, why="BTG", emergency=claim) == "break-glass"
    named = consent({"type": "deny", "purpose": [purpose("BTG")]})
    assert reason(named, why="BTG", emergency=claim) == "btg-refused-by-patient"
    assert reason(treat, why="BTG", emergency=BreakGlass("short", "ED", "p")) == "btg-invalid"
    assert reason(treat, why="BTG", emergency=BreakGlass("long enough a reason", "", "p")) == "btg-invalid"
    assert reason(treat, why="BTG", emergency=BreakGlass("about another patient", "ED", "q")) == "btg-invalid"


def test_ruling_g_a_purpose_label_on_data_must_not_conflict_with_the_request() -> None:
    grant = consent({"type": "permit"})
    assert reason(grant, resource=observation(purpose("HTEST"))) == "purpose-label"
    assert reason(grant, resource=observation(purpose("TREAT")), why="ETREAT") == "consent-permit"
    assert reason(grant, resource=observation(purpose("ETREAT")), why="TREAT") == "purpose-label"
    assert reason(grant, resource=observation(purpose("TREAT")), why=None) == "purpose-label"


def test_ruling_i_a_role_says_whether_an_actor_gets_the_data_or_made_them() -> None:
    made = observation(performer=[{"reference": "Practitioner/beak"}])
    deny = consent({"type": "permit", "provision": [{"type": "deny", "actor": [actor("Practitioner/beak", "AUT")]}]})
    assert not decided(deny, resource=made).permit
    assert decided(deny, resource=observation(performer=[{"reference": "Practitioner/other"}])).permit
    assert not decided(deny, resource=observation()).permit  # nobody is named: it could be beak
    assert decided(
        deny, resource=observation(performer=[{"reference": "Practitioner/o"}]), who="Practitioner/beak"
    ).permit
    odd = {"type": "permit", "actor": [actor("Practitioner/alice", "WIT")]}
    assert not decided(consent(odd)).permit


def test_ruling_j_a_root_type_equal_to_the_base_narrows_and_another_is_an_exception() -> None:
    narrow = consent({"type": "permit", "actor": [actor("Practitioner/alice")]}, base="OPTIN")
    assert decided(narrow).permit
    assert reason(narrow, who="Practitioner/bob", default=ALL_NORMAL) == "uncovered"
    exception = consent({"type": "permit", "actor": [actor("Practitioner/alice")]}, base="OPTOUT")
    assert decided(exception).permit
    assert reason(exception, who="Practitioner/bob") == "consent-deny"
    spared = consent({"type": "deny", "actor": [actor("Practitioner/bob")]}, base="OPTIN")
    assert decided(spared).permit
    assert not decided(spared, resource=observation(confidentiality("V"))).permit


def test_a_research_consent_speaks_about_research_alone() -> None:
    research: Json = {"scope": {"coding": [{"system": T + "consentscope", "code": "research"}]}}
    grant = consent({"type": "permit"}, **research)
    assert reason(grant, why="CLINTRCH") == "consent-permit"
    assert reason(grant) == "default-deny"
    assert reason(grant, default=ALL_NORMAL) == "default-all-normal"
    assert reason(consent({"type": "deny"}, **research), default=ALL_NORMAL) == "default-all-normal"


def test_a_scope_that_cannot_be_read_narrows_and_never_widens() -> None:
    odd: Json = {"scope": {"coding": [{"system": "urn:local", "code": "sharing"}]}}
    assert reason(consent({"type": "permit"}, **odd)) == "uncovered"
    assert reason(consent({"type": "deny"}, **odd), default=ALL_NORMAL) == "consent-deny"


def test_of_one_agreement_the_newest_speaks() -> None:
    def dated(when: str, kind: str) -> Json:
        return consent({"type": kind}, dateTime=when, identifier=[{"system": "urn:x", "value": "1"}], id=when)

    assert decided(dated("2025", "deny"), dated("2026-02-01", "permit")).permit
    assert not decided(dated("2026-02-01", "deny"), dated("2025", "permit")).permit
    # Which of the two is newer cannot be told, so that neither may open.
    assert reason(dated("2026", "permit"), dated("2026-02-01", "permit")) == "uncovered"


def test_a_modifier_that_is_not_known_blocks_wherever_it_stands() -> None:
    odd = [{"url": "http://example.org/odd", "valueBoolean": True}]
    for entry in (
        consent({"type": "permit"}, modifierExtension=odd),
        consent({"type": "permit", "provision": [{"type": "permit", "modifierExtension": odd}]}),
        consent({"type": "permit"}, implicitRules="http://example.org/rules"),
    ):
        assert reason(entry, default=ALL_NORMAL) == "consent-deny"


def test_a_permit_under_a_duty_that_is_not_kept_here_permits_nothing() -> None:
    assert not decided(consent({"type": "permit", "securityLabel": [confidentiality("R"), act("REDACT")]})).permit
    assert reason(consent({"type": "permit"}), resource=observation(act("MASK"))) == "obligation"


def test_a_deny_of_a_code_meets_what_is_coded_in_another_resource() -> None:
    rule = {"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "1-8"}]}]}
    order: Json = {"resourceType": "MedicationRequest", "id": "m", "subject": {"reference": "Patient/p"}}
    elsewhere = order | {"medicationReference": {"reference": "Medication/x"}}
    assert not decided(consent({"type": "permit", "provision": [rule]}), resource=elsewhere).permit
    assert decided(consent({"type": "permit", "provision": [rule]}), resource=order).permit


def test_the_code_systems_are_whole() -> None:
    known = terms()
    assert list(known.ranks) == ["U", "L", "M", "N", "R", "V"]
    assert known.purposes["BTG"] == {"BTG", "ETREAT", "TREAT"}
    assert known.below["ETH"] == {"ETH", "SUD", "ETHUD", "OPIOIDUD"}
    assert {"IRCP", "PRCP"} <= known.recipients
    assert known.sources == {"AUT", "CST"}
    assert "OPTIN" in known.policies
    assert {"REDACT", "NOPAT"} <= known.duties
    assert len(known.purposes) == 59
    assert known.patientless < known.types
