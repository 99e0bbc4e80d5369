"""What a client may not write, though its scopes cover the type: what decisions about others rest on."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from hawsepipe.consent.orders import Order
from hawsepipe.errors import (
    Forbidden,
    InvalidRequest,
    InvalidResource,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    RequestError,
)
from hawsepipe.fhir import codec
from hawsepipe.fhir.query import Clause, Kind, Query, TokenValue
from hawsepipe.store.contract import ACTORS

Json = dict[str, Any]
T = "http://terminology.hl7.org/CodeSystem/"
OFFICER = frozenset({"privacy-officer"})
WITH_BODY = frozenset({"create", "update"})
OWN: Json = {
    "scopes": frozenset({"patient/*.cruds"}),
    "roles": frozenset({"patient"}),
    "purpose": "PATRQT",
    "patient": "p",
}


def patient(identity: str, *links: tuple[str, str]) -> Json:
    found: Json = {"resourceType": "Patient", "id": identity}
    if links:
        found["link"] = [{"other": {"reference": f"Patient/{other}"}, "type": kind} for other, kind in links]
    return found


def observation(identity: str, about: str = "p", code: str = "2345-7") -> Json:
    return {
        "resourceType": "Observation",
        "id": identity,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{about}"},
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


async def test_a_client_cannot_join_two_patients(hospital: Any) -> None:
    await hospital.put(patient("p"), patient("q"), consent("c"), observation("n", "q"))
    view, own = hospital.view(), hospital.view("Patient/p", **OWN)
    with pytest.raises(Forbidden):
        await view.create(patient("x", ("q", "replaces")))
    for one in (view, own):
        with pytest.raises(Forbidden):
            await one.update(patient("p", ("q", "replaces")), None)
    with pytest.raises(NotFound):
        await own.read("Observation", "n")
    assert (await own.update(patient("p") | {"gender": "female"}, None)).version == 2
    assert (await hospital.accesses())[0].reasons == ("link",)


async def test_a_client_cannot_take_a_link_away_and_an_officer_can(hospital: Any) -> None:
    linked = patient("p", ("q", "replaced-by"))
    await hospital.put(linked, patient("q", ("p", "replaces")), consent("c"))
    with pytest.raises(Forbidden):
        await hospital.view().update(patient("p"), None)
    assert (await hospital.view().update(linked | {"gender": "female"}, None)).version == 2
    assert (await hospital.view("Practitioner/olga", roles=OFFICER).update(patient("p"), None)).version == 3


async def test_a_link_that_only_one_record_has_joins_nothing(hospital: Any) -> None:
    await hospital.put(patient("p", ("q", "replaces")), patient("q"), consent("d", "q"), observation("n", "q"))
    own = hospital.view("Patient/p", **OWN)
    with pytest.raises(NotFound):
        await own.read("Observation", "n")
    assert (await own.search(Query("Observation"))).versions == ()
    await hospital.put(patient("q", ("p", "replaced-by")))
    assert (await own.read("Observation", "n")).id == "n"
    await hospital.put(patient("q"))
    with pytest.raises(NotFound):
        await own.read("Observation", "n")


async def test_the_links_are_read_once_an_epoch(hospital: Any) -> None:
    await hospital.put(patient("p", ("q", "replaced-by")), patient("q", ("p", "replaces")), consent("c"))
    await hospital.put(observation("n", "q"))
    asked: list[str] = []
    view, search = hospital.view(), hospital.store.search

    class Counting:
        def __getattr__(self, name: str) -> Any:
            return getattr(hospital.store, name)

        async def search(self, query: Query, visibility: Any) -> Any:
            asked.append(query.type)
            return await search(query, visibility)

    hospital.gate.judge._store = Counting()
    for _ in range(3):
        await view.read("Observation", "n")
    assert asked == ["Patient"]


async def test_the_epoch_moves_with_the_links_of_patients_and_not_with_their_names(hospital: Any) -> None:
    epochs = []
    for one in (
        patient("p"),
        patient("p") | {"gender": "female"},
        patient("p", ("q", "replaces")),
        patient("p", ("q", "replaces")) | {"gender": "female"},
        patient("p"),
        patient("p", ("q", "replaces")),
    ):
        await hospital.put(one)
        epochs.append(await hospital.store.consent_epoch())
    await hospital.delete("Patient", "p")
    epochs.append(await hospital.store.consent_epoch())
    moved = [after > before for before, after in itertools.pairwise(epochs)]
    assert moved[0] is False
    assert (moved[1], moved[3], moved[4], moved[5]) == (True, True, True, True)


@pytest.mark.parametrize("kind", sorted(ACTORS))
async def test_who_belongs_to_whom_is_written_by_an_officer_alone(hospital: Any, kind: str) -> None:
    await hospital.put(patient("p"), consent("c"))
    sent = {"resourceType": kind, "id": "x"}
    with pytest.raises(Forbidden, match="directory"):
        await hospital.view().create(sent)
    with pytest.raises(Forbidden, match="directory"):
        await hospital.view().update(sent, None)  # whether it is there or not
    with pytest.raises((MethodNotAllowed, InvalidResource)):
        await hospital.view("Practitioner/olga", roles=OFFICER).update(sent, None)


async def test_a_doctor_cannot_put_herself_into_a_care_team(hospital: Any) -> None:
    team: Json = {"resourceType": "CareTeam", "id": "ct", "status": "active", "subject": {"reference": "Patient/p"}}
    role = {"coding": [{"system": T + "v3-ParticipationType", "code": "IRCP"}]}
    actor = [{"role": role, "reference": {"reference": "CareTeam/ct"}}]
    nested = [{"type": "permit", "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "CareTeam"}]}]
    await hospital.put(patient("p"), team, consent("c", actor=actor), consent("d", type="deny", provision=nested))
    with pytest.raises(Forbidden):
        await hospital.view().update(team | {"participant": [{"member": {"reference": "Practitioner/alice"}}]}, None)


@pytest.mark.parametrize("kind", ["Provenance", "AuditEvent"])
async def test_the_servers_own_record_is_written_by_nobody_else(hospital: Any, kind: str) -> None:
    for roles in (frozenset({"physician"}), OFFICER):
        view = hospital.view(roles=roles)
        with pytest.raises(Forbidden, match="server-only"):
            await view.create({"resourceType": kind})
        with pytest.raises(Forbidden, match="server-only"):
            await view.update({"resourceType": kind, "id": "x"}, None)


async def test_an_update_cannot_move_a_resource_to_another_patient(hospital: Any) -> None:
    await hospital.put(patient("p"), patient("q"), consent("c"), consent("d", "q"), observation("o"))
    for moved in (observation("o", "q"), observation("o", "absent"), observation("o") | {"focus": []}):
        sent = {name: value for name, value in moved.items() if name != "focus"}
        if "focus" in moved:
            del sent["subject"]
        with pytest.raises(Forbidden, match="patient"):
            await hospital.view().update(sent, None)
    assert (await hospital.accesses())[-1].reasons == ("patient",)
    officer = frozenset({"privacy-officer", "physician"})
    assert (await hospital.view(roles=officer).update(observation("o", "q"), None)).version == 2


async def test_to_move_what_is_hidden_answers_as_if_it_were_absent(hospital: Any) -> None:
    await hospital.put(patient("p"), patient("q"), consent("c", type="deny"), observation("o"))
    for identity in ("o", "absent"):
        with pytest.raises(MethodNotAllowed):
            await hospital.view().update(observation(identity, "q"), None)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_version_before_a_correction_is_no_easier_to_see(hospital: Any, version: int) -> None:
    psy = {"security": [{"system": T + "v3-ActCode", "code": "PSY"}]}
    deny = [{"type": "deny", "securityLabel": psy["security"]}]
    await hospital.put(patient("p"), patient("q"), consent("c", provision=deny), consent("d", "q", type="deny"))
    await hospital.put(observation("labelled"), observation("moved"))
    await hospital.put(observation("labelled") | {"meta": psy}, observation("moved", "q"))
    for identity in ("labelled", "moved"):
        with pytest.raises(NotFound):
            await hospital.view().vread("Observation", identity, version)
        with pytest.raises(NotFound):
            await hospital.view().history("Observation", identity, None, 10)
        with pytest.raises(NotFound):
            await hospital.view().history("Observation", identity, 2, 10)
        await hospital.delete("Observation", identity)
        with pytest.raises(NotFound):
            await hospital.view().vread("Observation", identity, 1)


async def test_versions_before_a_visible_end_stay_visible(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"))
    await hospital.delete("Observation", "o")
    assert (await hospital.view().vread("Observation", "o", 1)).version == 1
    page = await hospital.view().history("Observation", "o", None, 10)
    assert [one.version for one in page.versions] == [2, 1]


@pytest.mark.parametrize(
    ("meta", "place"),
    [
        ([1], "Patient.meta"),
        (None, "Patient.meta"),
        ("x", "Patient.meta"),
        ({"security": {"code": "R"}}, "Patient.meta.security"),
        ({"security": [1]}, "Patient.meta.security[0]"),
    ],
)
async def test_a_meta_that_cannot_be_labelled_is_refused_and_not_replaced(hospital: Any, meta: Any, place: str) -> None:
    await hospital.put(patient("p"), consent("c"))
    for call in (hospital.view().create, lambda sent: hospital.view().update(sent, None)):
        with pytest.raises(InvalidResource) as caught:
            await call(patient("p") | {"meta": meta})
        assert [issue.location for issue in caught.value.issues] == [place]
    with pytest.raises(InvalidResource):
        await hospital.put(patient("z") | {"meta": meta})


async def test_a_deny_whose_actor_is_garbled_fires(hospital: Any) -> None:
    role = {"coding": [{"system": T + "v3-ParticipationType", "code": "IRCP"}]}
    source = {"coding": [{"system": T + "v3-ParticipationType", "code": "AUT"}]}
    await hospital.put(patient("p"), observation("o") | {"performer": [{"reference": "Practitioner/bob"}]})
    for who in (role, source):
        for odd in ("/", "?x=y", "#a", "//", " "):
            actor = [{"role": who, "reference": {"reference": f"Practitioner/2{odd}"}}]
            await hospital.put(consent("c", provision=[{"type": "deny", "actor": actor}]))
            with pytest.raises(NotFound):
                await hospital.view().read("Observation", "o")
    instance = [{"meaning": "instance", "reference": {"reference": "Observation/o/"}}]
    await hospital.put(consent("c", provision=[{"type": "deny", "data": instance}]))
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "o")


def reading(kind: str, pairs: Any) -> Query:
    """Read criteria as the API does from a query string."""
    return Query(kind, tuple(Clause(name, Kind.TOKEN, None, (TokenValue(None, text),)) for name, text in pairs))


IDENTIFIED: Json = {"identifier": [{"system": "urn:x", "value": "7"}]}


async def test_a_hidden_match_is_no_match_and_the_officer_is_told_of_the_pair(hospital: Any) -> None:
    hidden = observation("h", "q") | IDENTIFIED
    await hospital.put(patient("p"), patient("q"), consent("c"), consent("d", "q", type="deny"), hidden)
    order = Order("create", "Observation", resource=observation("x") | IDENTIFIED, criteria=(("identifier", "7"),))
    (made,) = await hospital.view().write([order], reading)
    assert made.created
    assert made.version is not None
    assert made.version.id != "h"
    (again,) = await hospital.view().write([order], reading)
    assert (again.created, again.version and again.version.id) == (False, made.version.id)
    assert (await hospital.view().search(Query("Task"))).versions == ()
    officer = hospital.view("Practitioner/olga", roles=OFFICER)
    (task,) = (await officer.search(Query("Task"))).versions
    told = codec.decode(task.content)
    assert told["focus"] == {"reference": f"Observation/{made.version.id}"}
    assert [it["valueReference"] for it in told["input"]] == [{"reference": "Observation/h"}]


async def test_a_task_about_a_hidden_match_hides_no_provenance_of_the_maker(hospital: Any) -> None:
    hidden = observation("h", "q") | IDENTIFIED
    await hospital.put(patient("p"), patient("q"), consent("c"), consent("d", "q", type="deny"), hidden)
    order = Order("create", "Observation", resource=observation("x") | IDENTIFIED, criteria=(("identifier", "7"),))
    (made,) = await hospital.view().write([order], reading)
    assert made.version is not None
    (told,) = (await hospital.view().search(Query("Provenance"))).versions
    assert [it["reference"] for it in codec.decode(told.content)["target"]] == [made.version.versioned_reference]


@pytest.mark.parametrize("interaction", ["create", "update", "patch", "delete"])
async def test_hidden_and_absent_matches_cannot_be_told_apart(hospital: Any, interaction: str) -> None:
    await hospital.put(patient("p"), patient("q"), consent("c"), consent("d", "q", type="deny"))
    await hospital.put(observation("h", "q") | IDENTIFIED)

    async def asked(value: str, **more: Any) -> Any:
        sent = {key: it for key, it in observation("x").items() if key != "id"} if interaction in WITH_BODY else None
        order = Order(
            interaction, "Observation", resource=sent, criteria=(("identifier", value),), alter=lambda it: it, **more
        )
        try:
            (written,) = await hospital.view().write([order], reading)
        except RequestError as error:
            return type(error), str(error)
        return written.created, written.version is None

    assert await asked("7") == await asked("8")
    assert await asked("7", if_match=1) == await asked("8", if_match=1)
    assert (await hospital.store.read("Observation", "h")).version == 1


async def test_a_delete_of_what_is_hidden_answers_like_one_of_what_is_absent_and_deletes_nothing(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c", type="deny"), observation("h"))
    for if_match in (None, 1):
        answers = []
        for identity in ("h", "absent"):
            try:
                (written,) = await hospital.view().write([Order("delete", "Observation", identity, if_match=if_match)])
                answers.append((written.version, ""))
            except (PreconditionFailed, NotFound) as error:
                answers.append((type(error).__name__, str(error).replace(f"/{identity}", "/ID")))
        assert answers[0] == answers[1]
    assert (await hospital.store.read("Observation", "h")).content is not None


async def test_what_is_seen_and_not_to_be_corrected_is_not_deleted(hospital: Any) -> None:
    access: Json = {"action": [{"coding": [{"system": T + "consentaction", "code": "access"}]}]}
    await hospital.put(patient("p"), consent("c", **access), observation("o"))
    with pytest.raises(Forbidden):
        await hospital.view().write([Order("delete", "Observation", "o")])
    assert (await hospital.view().read("Observation", "o")).version == 1


async def test_a_consent_is_deleted_by_its_patient_and_the_officer_alone(hospital: Any) -> None:
    await hospital.put(patient("p"), patient("q"), consent("c"), consent("d", "q"), consent("e"))
    with pytest.raises(NotFound):  # she does not see it
        await hospital.view().write([Order("delete", "Consent", "c")])
    own = hospital.view("Patient/p", **OWN)
    with pytest.raises(NotFound):
        await own.write([Order("delete", "Consent", "d")])
    assert (await own.write([Order("delete", "Consent", "c")]))[0].version is not None
    officer = hospital.view("Practitioner/olga", roles=OFFICER)
    assert (await officer.write([Order("delete", "Consent", "e")]))[0].version is not None
    with pytest.raises(NotFound):
        await hospital.view().read("Observation", "n")


async def test_orders_about_one_resource_are_refused_and_nothing_is_written(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"))
    orders = [Order("update", "Observation", "o", observation("o", code="1-8")), Order("delete", "Observation", "o")]
    with pytest.raises(InvalidRequest) as caught:
        await hospital.view().write(orders)
    assert caught.value.part == 1
    assert (await hospital.store.read("Observation", "o")).version == 1


async def test_an_order_that_fails_takes_the_others_with_it_and_is_named(hospital: Any) -> None:
    await hospital.put(patient("p"), consent("c"), observation("o"))
    bad = observation("x") | {"status": "purple"}
    orders = [Order("delete", "Observation", "o"), Order("create", "Observation", resource=bad)]
    with pytest.raises(InvalidResource) as caught:
        await hospital.view().write(list(reversed(orders)))
    assert caught.value.part == 0
    assert (await hospital.store.read("Observation", "o")).version == 1
