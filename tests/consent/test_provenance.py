"""A Provenance is visible as far as everything that it is about, whether it is read or searched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from hawsepipe import visibility
from hawsepipe.consent.policy import ALL_NORMAL, PolicySettings
from hawsepipe.errors import Gone, NotFound
from hawsepipe.fhir import codec, provenance
from hawsepipe.fhir.query import Query, Total
from hawsepipe.model import Change, Method, Principal, Transaction

Json = dict[str, Any]
T = "http://terminology.hl7.org/CodeSystem/"
PSY = {"system": T + "v3-ActCode", "code": "PSY"}
OFFICER = frozenset({"privacy-officer"})
PATIENT: Json = {"resourceType": "Patient", "id": "p"}
LOINC = "http://loinc.org"


def observation(identity: str, about: str = "p", **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": "2345-7"}]},
        "subject": {"reference": f"Patient/{about}"},
        "effectiveDateTime": "2026-02-10T09:00:00Z",
        **more,
    }


def consent(identity: str, about: str = "p", **root: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": identity,
        "status": "active",
        "scope": {"coding": [{"system": T + "consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": LOINC, "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{about}"},
        "policy": [{"uri": "http://example.org/policy"}],
        "provision": {"type": "permit", **root},
    }


class Told:
    """Commits with a Provenance, and says who sees it."""

    def __init__(self, hospital: Any) -> None:
        self.hospital = hospital
        self.count = 0

    async def commit(self, *resources: Json, gone: tuple[tuple[str, str], ...] = ()) -> str:
        """Store resources, and delete others, in one transaction; return the id of its Provenance."""
        self.count += 1
        changes = [Change(Method.PUT, one["resourceType"], one["id"], one) for one in resources]
        changes += [Change(Method.DELETE, kind, identity, None) for kind, identity in gone]
        draft = provenance.draft("feed:test", id=f"v{self.count}")
        await self.hospital.store.commit(Transaction(tuple(changes), draft, "feed:test", self.hospital.clock()))
        return f"v{self.count}"

    async def seen(self, **who: Any) -> set[str]:
        """Return the ids of the Provenances that somebody sees; read and search must agree."""
        view = self.hospital.view(**who)
        page = await view.search(Query("Provenance", total=Total.ACCURATE, count=100))
        assert page.total == len(page.versions)
        read = set()
        for number in range(1, self.count + 1):
            try:
                read.add((await view.read("Provenance", f"v{number}")).id)
            except NotFound:
                continue
        assert read == {version.id for version in page.versions}
        return read


@pytest.fixture
async def told(open_hospital: Callable[[PolicySettings], Any]) -> AsyncIterator[Told]:
    async with open_hospital(PolicySettings(default_policy=ALL_NORMAL)) as hospital:
        yield Told(hospital)


async def test_what_denies_a_target_hides_its_provenance(told: Told) -> None:
    await told.commit(PATIENT)  # which has no date, and so meets a deny by period
    plain = await told.commit(observation("plain"))
    for number, hidden in enumerate(
        (
            observation("label", meta={"security": [PSY]}),
            observation("code", code={"coding": [{"system": LOINC, "code": "72133-2"}]}),
            observation("author", performer=[{"reference": "Practitioner/bob"}]),
            observation("period", effectiveDateTime="2020-01-01"),
            observation("profile", meta={"profile": ["http://p/1"]}),
            observation("named"),
            {"resourceType": "Flag", "id": "class", "status": "active", "code": {"text": "x"}}
            | {"subject": {"reference": "Patient/p"}, "period": {"start": "2026-02-10"}},
        )
    ):
        await told.commit(observation(f"with{number}"), hidden)
    await told.hospital.put(consent("c"))
    assert len(await told.seen()) == 9
    source = {"coding": [{"system": T + "v3-ParticipationType", "code": "AUT"}]}
    types = "http://hl7.org/fhir/resource-types"
    denies: list[Json] = [
        {"securityLabel": [PSY]},
        {"code": [{"coding": [{"system": LOINC, "code": "72133-2"}]}]},
        {"dataPeriod": {"start": "2019", "end": "2021"}},
        {"class": [{"system": "urn:ietf:rfc:3986", "code": "http://p/1"}]},
        {"data": [{"meaning": "instance", "reference": {"reference": "Observation/named"}}]},
        {"class": [{"system": types, "code": "Flag"}]},
    ]
    await told.hospital.put(consent("c", provision=[{"type": "deny", **deny} for deny in denies]))
    assert await told.seen() == {plain, "v5"}
    await told.hospital.put(
        consent("c", provision=[{"type": "deny", "actor": [{"role": source, "reference": {"reference": "Group/x"}}]}])
    )
    assert await told.seen() == set(), "an author who is not named may be the one"


async def test_one_target_without_an_author_is_enough_for_a_deny_by_author(told: Told) -> None:
    source = {"coding": [{"system": T + "v3-ParticipationType", "code": "AUT"}]}
    by_bob: Json = {"performer": [{"reference": "Practitioner/bob"}]}
    await told.commit(observation("a", **by_bob), observation("b", **by_bob))
    await told.commit(observation("c", **by_bob), observation("d"))
    await told.commit(observation("e", performer=[{"reference": "Practitioner/eve"}]), observation("f", **by_bob))
    deny = {"type": "deny", "actor": [{"role": source, "reference": {"reference": "Practitioner/eve"}}]}
    await told.hospital.put(consent("x", provision=[deny]))
    assert await told.seen() == {"v1"}


async def test_what_permits_one_target_alone_does_not_show_the_provenance(told: Told) -> None:
    await told.hospital.put(PATIENT)
    await told.commit(observation("a", meta={"security": [PSY]}))
    await told.commit(observation("b", code={"coding": [{"system": LOINC, "code": "72133-2"}]}))
    types = [{"system": "http://hl7.org/fhir/resource-types", "code": code} for code in ("Provenance", "Encounter")]
    for permit in (
        {"securityLabel": [PSY]},
        {"code": [{"coding": [{"system": LOINC, "code": "72133-2"}]}]},
        {"class": types},
        {"data": [{"meaning": "instance", "reference": {"reference": "Provenance/v1"}}]},
    ):
        await told.hospital.put(consent("c", type="deny", provision=[{"type": "permit", **permit}]))
        assert await told.seen() == set()
    observations = [{"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}]
    await told.hospital.put(consent("c", type="deny", provision=[{"type": "permit", "class": observations}]))
    assert await told.seen() == {"v1", "v2"}


async def test_every_patient_of_every_target_must_permit(told: Told) -> None:
    await told.hospital.put(PATIENT, PATIENT | {"id": "q"})
    await told.commit(observation("o"), observation("n", "q"))
    await told.commit(observation("m"))
    assert await told.seen() == {"v1", "v2"}
    await told.hospital.put(consent("d", "q", type="deny"))
    assert await told.seen() == {"v2"}


async def test_the_provenance_of_a_consent_is_the_patients_and_the_officers(told: Told) -> None:
    await told.hospital.put(PATIENT)
    await told.commit(consent("c"))
    await told.commit(consent("c", purpose=[{"system": T + "v3-ActReason", "code": "TREAT"}]), observation("o"))
    await told.commit(observation("o2"))
    own = {"scopes": frozenset({"patient/*.rs"}), "roles": frozenset({"patient"}), "purpose": "PATRQT", "patient": "p"}
    assert await told.seen() == {"v3"}
    assert await told.seen(subject="Patient/p", **own) == {"v1", "v2", "v3"}
    assert "v2" not in await told.seen(roles=OFFICER, purpose="HRESCH")
    assert "v1" in await told.seen(roles=OFFICER, purpose="HRESCH")


async def test_scope_and_role_must_cover_the_targets_too(open_hospital: Callable[[PolicySettings], Any]) -> None:
    roles = {"nurse": frozenset({"Provenance", "Encounter"}), "*": frozenset({"*"})}
    async with open_hospital(PolicySettings(default_policy=ALL_NORMAL, role_policy=roles)) as hospital:
        told = Told(hospital)
        await hospital.put(PATIENT)
        await told.commit(observation("o"))
        assert await told.seen() == {"v1"}
        assert await told.seen(scopes=frozenset({"user/Provenance.rs", "user/Encounter.rs"})) == set()
        assert await told.seen(scopes=frozenset({"user/Provenance.rs", "patient/*.rs"}), patient="q") == set()
        assert await told.seen(scopes=frozenset({"user/Provenance.rs", "patient/*.rs"}), patient="p") == {"v1"}
        assert await told.seen(roles=frozenset({"nurse"})) == set()


async def test_a_provenance_of_nobody_is_seen_only_if_all_its_targets_are_of_nobody(told: Told) -> None:
    ward: Json = {"resourceType": "Organization", "id": "h", "name": "H"}
    orphan = observation("o", subject={"identifier": {"system": "urn:mrn", "value": "1"}})
    await told.commit(ward, {"resourceType": "Location", "id": "l"})
    await told.commit(orphan)
    await told.commit(ward | {"name": "G"}, orphan | {"status": "amended"})
    assert await told.seen() == {"v1"}
    assert await told.seen(roles=OFFICER | {"physician"}) == {"v1"}


async def test_the_provenance_of_an_end_is_seen_as_what_ended(told: Told) -> None:
    await told.hospital.put(PATIENT, observation("o"), observation("h", meta={"security": [PSY]}))
    await told.commit(gone=(("Observation", "o"),))
    await told.commit(gone=(("Observation", "h"),))
    await told.hospital.put(consent("c", provision=[{"type": "deny", "securityLabel": [PSY]}]))
    assert await told.seen() == {"v1"}
    with pytest.raises(Gone):
        await told.hospital.view().read("Observation", "o")


async def test_an_amendment_of_what_was_recorded_in_a_closed_time_is_hidden_with_it(told: Told) -> None:
    await told.hospital.put(PATIENT)
    await told.commit(observation("o"))
    told.hospital.clock.now = told.hospital.clock.now.replace(month=5)
    await told.commit(observation("o", status="amended"))
    await told.commit(observation("n"))
    closed = {"start": "2026-03-01", "end": "2026-03-02"}
    await told.hospital.put(consent("c", provision=[{"type": "deny", "dataPeriod": closed}]))
    assert await told.seen() == {"v3"}


@pytest.mark.parametrize(
    "target",
    [
        {"reference": "Observation/o"},
        {"reference": "Observation/o/_history/1"},
        {"reference": "Observation/gone/_history/1"},
        {"reference": "https://elsewhere/Observation/o/_history/1"},
        {"display": "something"},
    ],
)
async def test_a_provenance_that_came_from_outside_and_names_what_it_did_not_bring_is_nobodys(
    told: Told, target: Json
) -> None:
    await told.hospital.put(PATIENT, observation("o"))
    foreign: Json = {
        "resourceType": "Provenance",
        "id": "v1",
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"display": "x"}}],
        "target": [{"reference": "Patient/p"}, target],
    }
    told.count = 1
    await told.hospital.put(foreign)
    assert await told.seen() == set()
    await told.hospital.put(foreign | {"target": [{"reference": "Patient/p/_history/1"}]})
    assert await told.seen() == set()


async def test_a_provenance_that_hides_one_of_its_targets_patients_is_nobodys(told: Told) -> None:
    await told.hospital.put(consent("d", "q", type="deny"))
    told.count = 1
    await told.hospital.put(
        PATIENT,
        observation("n", "q"),
        {
            "resourceType": "Provenance",
            "id": "v1",
            "recorded": "2026-01-01T00:00:00Z",
            "agent": [{"who": {"display": "x"}}],
            "target": [{"reference": "Patient/p/_history/1"}, {"reference": "Observation/n/_history/1"}],
        },
    )
    assert await told.seen() == set()


class NoObservations:
    """Hides observations from everybody."""

    def narrow(self, principal: Principal, instant: Any) -> visibility.Formula:
        return visibility.Not(visibility.TypeIn(frozenset({"Observation"})))


async def test_a_rule_of_the_house_that_hides_a_target_hides_its_provenance(told: Told) -> None:
    told.hospital.gate.judge._rules = (NoObservations(),)
    await told.commit(PATIENT)
    await told.commit(PATIENT | {"gender": "female"}, observation("o"))
    assert await told.seen() == {"v1"}


async def test_a_clients_own_write_leaves_a_provenance_that_it_sees(told: Told) -> None:
    await told.hospital.put(PATIENT)
    view = told.hospital.view()
    made = await view.create(observation("x"))
    page = await view.search(Query("Provenance"))
    targets = [codec.decode(one.content or b"")["target"][0]["reference"] for one in page.versions]
    assert targets == [made.versioned_reference]


def original(of: str = "p") -> Json:
    """A message as received, as a translator keeps it."""
    system, code = visibility.SEALED
    return {
        "resourceType": "DocumentReference",
        "id": "message",
        "meta": {"security": [{"system": system, "code": code}]},
        "status": "current",
        "subject": {"reference": f"Patient/{of}"},
        "content": [{"attachment": {"contentType": "application/hl7-v2", "data": "TVNI"}}],
    }


async def test_a_message_as_received_is_a_privacy_officers_alone_and_hides_no_provenance(told: Told) -> None:
    hospital = told.hospital
    await hospital.put(PATIENT, consent("c", purpose=[{"system": T + "v3-ActReason", "code": "TREAT"}]))
    resources = [observation("o"), original()]
    changes = [Change(Method.PUT, one["resourceType"], one["id"], one) for one in resources]
    words: Json = {"entity": [{"role": "source", "what": {"reference": "DocumentReference/message"}}]}
    draft = provenance.draft("feed:test", id="v1", source=bytes(32), told=words)
    told.count = 1
    await hospital.store.commit(Transaction(tuple(changes), draft, "feed:test", hospital.clock()))
    own = {"scopes": frozenset({"patient/*.rs"}), "roles": frozenset({"patient"}), "purpose": "PATRQT", "patient": "p"}
    for who in ({}, {"subject": "Patient/p", **own}, {"roles": OFFICER}, {"roles": frozenset({"physician"})}):
        view = hospital.view(**who)
        found = await view.search(Query("DocumentReference", total=Total.ACCURATE, count=10))
        shown = who.get("roles") == OFFICER
        assert (found.total, len(found.versions)) == (int(shown), int(shown))
        if shown:
            assert (await view.read("DocumentReference", "message")).id == "message"
        else:
            with pytest.raises(NotFound):
                await view.read("DocumentReference", "message")
    assert await told.seen() == {"v1"}, "the Provenance is of the Observation; the message is its source"
    # A later version without the label is as sealed as the first: labels only grow.
    bare = original() | {"meta": {}}
    await hospital.put(bare)
    with pytest.raises(NotFound):
        await hospital.view().read("DocumentReference", "message")


async def test_the_provenance_of_a_kept_message_alone_is_as_sealed_as_the_message(told: Told) -> None:
    await told.hospital.put(PATIENT)
    await told.commit(original())
    assert await told.seen() == set()
    assert await told.seen(roles=OFFICER) == set()
