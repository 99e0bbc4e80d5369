"""The view over a real store: who sees what, what is recorded, and that hidden and absent cannot be told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hawsepipe.consent.policy import ALL_NORMAL, BASIC_NORMAL, PolicySettings
from hawsepipe.errors import Forbidden, Gone, MethodNotAllowed, NotFound, PreconditionFailed, StoreError
from hawsepipe.fhir import codec
from hawsepipe.fhir.query import Clause, Kind, Query, ReferenceValue, Sort, TokenValue, Total

Json = dict[str, Any]
T = "http://terminology.hl7.org/CodeSystem/"
PSY = {"system": T + "v3-ActCode", "code": "PSY"}
OWN: Json = {
    "scopes": frozenset({"patient/*.cruds"}),
    "roles": frozenset({"patient"}),
    "purpose": "PATRQT",
    "patient": "p",
}
"""What a patient's own token says."""


def patient(identity: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": identity, **more}


def observation(identity: str, about: str = "p", code: str = "2345-7", **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{about}"},
        "effectiveDateTime": "2026-02-10T09:00:00Z",
        **more,
    }


def consent(identity: str, about: str = "p", **provision: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": identity,
        "status": "active",
        "scope": {"coding": [{"system": T + "consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{about}"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": "permit", **provision},
    }


def to(reference: str) -> list[Json]:
    role = {"coding": [{"system": T + "v3-ParticipationType", "code": "IRCP"}]}
    return [{"role": role, "reference": {"reference": reference}}]


def observations(about: str = "p", **more: Any) -> Query:
    clause = Clause("subject", Kind.REFERENCE, None, (ReferenceValue("Patient", about, None),))
    return Query("Observation", (clause, *more.pop("clauses", ())), total=Total.ACCURATE, **more)


def ids(page: Any) -> list[str]:
    return [version.id for version in page.versions]


async def test_without_a_consent_nobody_reads_a_patients_data(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"))
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "o")


async def test_a_consent_opens_and_its_revocation_closes_at_the_next_request(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"), consent("c"))
    view = hospital.view()
    assert (await view.read("Observation", "o")).id == "o"
    assert ids(await view.search(observations())) == ["o"]
    await hospital.put(consent("c") | {"status": "inactive"})
    with pytest.raises(NotFound):
        await view.read("Observation", "o")
    assert ids(await view.search(observations())) == []


async def test_hidden_and_absent_answer_alike_for_every_interaction(hospital: Any) -> None:
    nested = [{"type": "deny", "actor": to("Practitioner/bob")}]
    await hospital.put(patient("p"), observation("o"), consent("c", provision=nested))
    await hospital.delete("Observation", "o")
    await hospital.put(observation("h"))
    bob = hospital.view("Practitioner/bob")
    for identity in ("o", "h"):
        calls: dict[str, Callable[[str], Any]] = {
            "read": lambda one: bob.read("Observation", one),
            "vread": lambda one: bob.vread("Observation", one, 1),
            "history": lambda one: bob.history("Observation", one, None, 10),
            "update": lambda one: bob.update(observation(one), None),
            "conditional update": lambda one: bob.update(observation(one), 7),
        }
        for name, call in calls.items():
            texts = []
            for one in (identity, "z"):
                with pytest.raises((NotFound, MethodNotAllowed)) as caught:
                    await call(one)
                texts.append((type(caught.value), str(caught.value).replace(f"/{one}", "/?")))
            assert texts[0] == texts[1], name
    with pytest.raises(Gone):
        await hospital.view().read("Observation", "o")


async def test_a_search_answers_as_if_the_hidden_did_not_exist(hospital: Any) -> None:
    hidden = observation("h", code="72133-2", meta={"security": [PSY]})
    await hospital.put(
        patient("p"),
        *(observation(f"o{number}") for number in range(3)),
        hidden,
        observation("q1", "q"),
        consent("c", provision=[{"type": "deny", "securityLabel": [PSY]}]),
        consent("d", "q", type="deny"),
    )
    view = hospital.view()
    page = await view.search(observations(count=3, sort=(Sort("date", Kind.DATE, False),)))
    assert (sorted(ids(page)), page.total, page.next) == (["o0", "o1", "o2"], 3, None)
    code = Clause("code", Kind.TOKEN, None, (TokenValue("http://loinc.org", "72133-2"),))
    page = await view.search(observations(clauses=(code,)))
    assert (ids(page), page.total) == ([], 0)
    assert (
        ids(await view.search(Query("Observation", (Clause("_id", Kind.TOKEN, None, (TokenValue(None, "h"),)),)))) == []
    )
    assert (await view.search(observations("q"))).total == 0


async def test_history_is_decided_version_by_version(hospital: Any) -> None:
    deny = consent(
        "c", provision=[{"type": "deny", "code": [{"coding": [{"system": "http://loinc.org", "code": "72133-2"}]}]}]
    )
    await hospital.put(patient("p"), deny)
    await hospital.put(observation("o", code="72133-2"))
    await hospital.put(observation("o"))
    view = hospital.view()
    page = await view.history("Observation", "o", None, 10)
    assert ([version.version for version in page.versions], page.total, page.next) == ([2], 1, None)
    with pytest.raises(NotFound):
        await view.vread("Observation", "o", 1)
    assert (await view.vread("Observation", "o", 2)).version == 2


async def test_a_history_pages_over_what_is_visible(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"))
    for number in range(5):
        await hospital.put(observation("o", note=[{"text": str(number)}]))
    await hospital.delete("Observation", "o")
    view = hospital.view()
    first = await view.history("Observation", "o", None, 4)
    assert [version.version for version in first.versions] == [6, 5, 4, 3]
    assert first.next is not None
    second = await view.history("Observation", "o", first.next.key, 4)
    assert ([version.version for version in second.versions], second.next) == ([2, 1], None)
    assert (await view.history("Observation", "o", 1, 4)).versions == ()


async def test_a_scope_that_lacks_the_type_is_forbidden_whatever_is_stored(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"), consent("c"))
    view = hospital.view(scopes=frozenset({"user/Patient.rs", "user/Observation.rs?category=laboratory"}))
    for identity in ("o", "absent"):
        with pytest.raises(Forbidden):
            await view.read("Observation", identity)
    with pytest.raises(Forbidden):
        await view.search(observations())
    assert (await view.read("Patient", "p")).id == "p"


async def test_a_scope_of_level_patient_reaches_the_launch_patient_alone(hospital: Any) -> None:
    await hospital.put(
        patient("p"), patient("q"), observation("o"), observation("n", "q"), consent("c"), consent("d", "q")
    )
    view = hospital.view(scopes=frozenset({"patient/*.rs"}), patient="p")
    assert (await view.read("Observation", "o")).id == "o"
    with pytest.raises(NotFound):
        await view.read("Observation", "n")
    assert ids(await view.search(Query("Observation"))) == ["o"]


async def test_resources_about_nobody_need_scope_and_role_alone(
    open_hospital: Callable[[PolicySettings], Any],
) -> None:
    settings = PolicySettings(role_policy={"nurse": frozenset({"Organization", "MedicationRequest"})})
    async with open_hospital(settings) as hospital:
        await hospital.put({"resourceType": "Organization", "id": "h", "name": "H"})
        assert (await hospital.view(roles=frozenset({"nurse"})).read("Organization", "h")).id == "h"
        for roles in (frozenset({"clerk"}), frozenset[str]()):
            with pytest.raises(Forbidden):
                await hospital.view(roles=roles).read("Organization", "h")


async def test_data_that_should_name_a_patient_and_does_not_is_shown_to_nobody(
    open_hospital: Callable[[PolicySettings], Any],
) -> None:
    async with open_hospital(PolicySettings(default_policy=ALL_NORMAL)) as hospital:
        orphan = observation("o")
        orphan["subject"] = {"identifier": {"system": "urn:mrn", "value": "1"}}
        await hospital.put(patient("p"), orphan)
        with pytest.raises(NotFound):
            await hospital.view().read("Observation", "o")
        assert ids(await hospital.view().search(Query("Observation"))) == []


async def test_the_patient_sees_her_own_data_against_every_deny_but_not_another_patients(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"), observation("n", "q"), consent("c", type="deny"))
    own = hospital.view("Patient/p", **OWN)
    assert (await own.read("Observation", "o")).id == "o"
    assert (await own.read("Consent", "c")).id == "c"
    with pytest.raises(NotFound):
        await own.read("Observation", "n")
    nopat = {"system": T + "v3-ActCode", "code": "NOPAT"}
    await hospital.put(observation("secret", meta={"security": [nopat]}))
    with pytest.raises(NotFound):
        await own.read("Observation", "secret")
    assert ids(await own.search(observations())) == ["o"]


async def test_consents_are_seen_and_written_by_the_patient_and_the_privacy_officer_alone(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"))
    with pytest.raises(NotFound):
        await hospital.view().read("Consent", "c")
    with pytest.raises(Forbidden):
        await hospital.view().create(consent("mine"))
    with pytest.raises(Forbidden):
        await hospital.view().update(consent("c", type="deny"), None)
    officer = hospital.view("Practitioner/olga", roles=frozenset({"privacy-officer"}))
    assert (await officer.create(consent("x"))).id == "new-1"
    own = hospital.view("Patient/p", **OWN)
    assert (await own.update(consent("c", type="deny"), 1)).version == 2
    with pytest.raises(Forbidden):
        await own.create(consent("x", "q"))
    assert sorted(ids(await officer.search(Query("Consent")))) == ["c", "new-1"]
    assert ids(await hospital.view().search(Query("Consent"))) == []


async def test_create_ignores_the_clients_id_and_leaves_a_provenance(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"))
    made = await hospital.view().create(observation("chosen-by-client"))
    assert (made.id, made.version) == ("new-1", 1)
    page = await hospital.view().search(Query("Provenance"))
    told = codec.decode(page.versions[0].content)
    assert told["target"][0]["reference"] == "Observation/new-1/_history/1"
    assert told["agent"][0]["who"] == {"reference": "Practitioner/alice"}


async def test_an_update_needs_the_current_version_when_it_names_one(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"))
    view = hospital.view()
    with pytest.raises(PreconditionFailed):
        await view.update(observation("o", status="amended"), 7)
    assert (await view.update(observation("o") | {"status": "amended"}, 1)).version == 2
    assert (await view.update(observation("o") | {"status": "corrected"}, None)).version == 3


async def test_a_consent_to_access_alone_does_not_cover_a_correction(hospital: Any) -> None:
    access = [{"coding": [{"system": T + "consentaction", "code": "access"}]}]
    await hospital.put(patient("p"), consent("c", action=access), observation("o"))
    assert (await hospital.view().read("Observation", "o")).version == 1
    with pytest.raises(MethodNotAllowed):
        await hospital.view().update(observation("o") | {"status": "amended"}, None)


async def test_labels_cannot_be_stripped_by_an_update(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o", meta={"security": [PSY]}))
    made = await hospital.view().update(observation("o") | {"status": "amended"}, None)
    assert PSY in codec.decode(made.content)["meta"]["security"]


async def test_every_access_is_recorded_and_denied_ones_too(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"), consent("c"))
    view = hospital.view()
    await view.read("Observation", "o")
    await view.search(observations())
    for identity in ("absent",):
        with pytest.raises(NotFound):
            await view.read("Observation", identity)
    with pytest.raises(Forbidden):
        await hospital.view(scopes=frozenset({"openid"})).read("Observation", "o")
    told = [(one.interaction, one.target, one.permit, one.reasons, one.patients) for one in await hospital.accesses()]
    assert told == [
        ("read", "Observation/o", True, ("consent-permit",), ("p",)),
        ("search-type", "Observation", True, ("scope",), ("p",)),
        ("read", "Observation/absent", False, ("absent",), ()),
        ("read", "Observation/o", False, ("scope",), ()),
    ]
    assert (await hospital.accesses())[0].consents == ("Consent/c/_history/1",)
    assert (await hospital.accesses())[1].query == "Observation?subject"


class Forgetful:
    """The store, whose access record has no room."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def record(self, accesses: Any) -> None:
        raise StoreError("no room for the access record")


async def test_without_a_record_there_are_no_data(hospital: Any) -> None:
    await hospital.put(patient("p"), observation("o"), consent("c"))
    hospital.gate.store = Forgetful(hospital.store)
    view = hospital.view()
    calls: list[Callable[[], Any]] = [
        lambda: view.read("Observation", "o"),
        lambda: view.vread("Observation", "o", 1),
        lambda: view.history("Observation", "o", None, 5),
        lambda: view.search(observations()),
        lambda: view.create(observation("x")),
        lambda: view.update(observation("o"), None),
    ]
    for call in calls:
        with pytest.raises(StoreError):
            await call()
    assert await hospital.store.read("Observation", "new-1") is None


async def test_a_merged_patients_consents_hold_for_the_whole_person(hospital: Any) -> None:
    other = [{"other": {"reference": "Patient/p"}, "type": "replaces"}]
    await hospital.put(patient("p"), patient("q"), consent("c"), observation("n", "q"))
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "n")
    await hospital.put(patient("q", link=other))
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "n")
    await hospital.put(patient("p", link=[{"other": {"reference": "Patient/q"}, "type": "replaced-by"}]))
    assert (await hospital.view().read("Observation", "n")).id == "n"
    assert ids(await hospital.view().search(observations("q"))) == ["n"]


async def test_a_grant_to_a_care_team_follows_its_members(hospital: Any) -> None:
    team: Json = {"resourceType": "CareTeam", "id": "ct", "status": "active", "subject": {"reference": "Patient/p"}}
    member = {"participant": [{"member": {"reference": "Practitioner/alice"}}]}
    await hospital.put(patient("p"), observation("o"), consent("c", actor=to("CareTeam/ct")), team | member)
    assert ids(await hospital.view().search(observations())) == ["o"]
    await hospital.put(team)
    assert ids(await hospital.view().search(observations())) == []
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "o")


async def test_a_grant_ends_with_its_period_without_any_change_in_the_store(hospital: Any) -> None:
    until = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T12:00:30Z"}
    await hospital.put(patient("p"), observation("o"), consent("c", period=until))
    view = hospital.view()
    assert ids(await view.search(observations())) == ["o"]
    hospital.clock.now = hospital.clock.now.replace(minute=1)
    assert ids(await view.search(observations())) == []
    with pytest.raises(NotFound):
        await view.read("Observation", "o")


async def test_a_deny_of_what_an_encounter_refers_to_follows_the_encounter(hospital: Any) -> None:
    related = [{"meaning": "related", "reference": {"reference": "Encounter/e"}}]
    encounter: Json = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"system": T + "v3-ActCode", "code": "IMP"},
        "subject": {"reference": "Patient/p"},
    }
    await hospital.put(
        patient("p"), observation("o"), encounter, consent("c", provision=[{"type": "deny", "data": related}])
    )
    assert ids(await hospital.view().search(observations())) == ["o"]
    await hospital.put(encounter | {"reasonReference": [{"reference": "Observation/o"}]})
    assert ids(await hospital.view().search(observations())) == []
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "o")


async def test_the_default_policy_leaves_restricted_data_closed(open_hospital: Callable[[PolicySettings], Any]) -> None:
    async with open_hospital(PolicySettings(default_policy=BASIC_NORMAL)) as hospital:
        restricted = {"security": [{"system": T + "v3-Confidentiality", "code": "R"}]}
        await hospital.put(patient("p"), observation("o"), observation("r", meta=restricted))
        assert ids(await hospital.view().search(observations())) == ["o"]
        with pytest.raises(NotFound):
            await hospital.view().read("Observation", "r")
        assert ids(await hospital.view(purpose="HPAYMT").search(observations())) == []


async def test_a_search_about_one_record_of_a_person_finds_what_is_about_the_others(hospital: Any) -> None:
    def query(who: str) -> Query:
        return Query(
            "Observation", (Clause("subject", Kind.REFERENCE, None, (ReferenceValue("Patient", who, None),)),), count=10
        )

    async def found(who: str) -> list[str]:
        return [version.id for version in (await hospital.view().search(query(who))).versions]

    await hospital.put(patient("p"), patient("q"), observation("o", "p"), observation("n", "q"))
    await hospital.put(consent("a", "p"), consent("b", "q"))
    assert (await found("p"), await found("q")) == (["o"], ["n"])
    await hospital.put(patient("p", link=[{"other": {"reference": "Patient/q"}, "type": "replaces"}]))
    assert await found("p") == ["o"], "one record alone joins nothing"
    await hospital.put(patient("q", link=[{"other": {"reference": "Patient/p"}, "type": "replaced-by"}]))
    assert (await found("p"), await found("q")) == (["o", "n"], ["o", "n"])
    await hospital.put(consent("c", "q", type="deny"))
    assert await found("p") == [], "a deny about one of them is about the person"
