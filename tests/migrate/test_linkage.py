"""Linkage: certain pairs are joined, doubtful ones wait for somebody, and nothing is chosen."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import InvalidRequest, NotFound
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.query import Query
from hawsepipe.migrate.linkage.linking import Linking, paired
from hawsepipe.migrate.linkage.people import Person, person
from hawsepipe.migrate.linkage.rules import Names, Verdict, clusters, edits, judged, near
from hawsepipe.migrate.withdrawal import EVERYTHING
from hawsepipe.model import Principal
from hawsepipe.service.loading import alone
from hawsepipe_conformance.feeds.persons import people

from .conftest import Archive
from .test_loads import loaded, request

OPERATOR = Principal("Practitioner/op", "cli", "default", frozenset())
ANNA = Person("a", "anna", "muster", "1970-01-01", "female", "301234567", None, "ringstr 1", "12345", ("n|1234",))


def verdict(other: Person, score: float = 1.0) -> Verdict:
    return judged(ANNA, other, score, Names([ANNA, other])).verdict


def test_twins_and_people_of_one_name_and_birth_date_wait_for_somebody() -> None:
    twin = ANNA._replace(id="b", given="bertha", identifiers=("n|2",))
    namesake = ANNA._replace(id="b", phone="999999999", street="bachstr 2", postcode="54321", identifiers=("n|2",))
    assert verdict(twin) is Verdict.REVIEW
    assert verdict(namesake) is Verdict.REVIEW
    anne = ANNA._replace(id="b", given="anne", identifiers=())
    assert verdict(anne) is Verdict.REVIEW
    names = Names([ANNA._replace(given=given) for given in ("anna", "anne") for _ in range(9)])
    assert judged(ANNA, anne, 1.0, names).verdict is Verdict.REVIEW


def test_what_is_decisive_is_never_overlooked() -> None:
    same = ANNA._replace(id="b")
    assert verdict(same) is Verdict.SAME
    assert verdict(same, 0.99) is Verdict.REVIEW
    assert verdict(same, 0.4) is Verdict.NOTHING
    for other in (
        same._replace(identifiers=("n|2",)),
        same._replace(sex="male"),
        same._replace(born="1942-05-17"),
        same._replace(given="waltraud"),
    ):
        assert verdict(other) is Verdict.REVIEW


def test_slips_are_no_contradictions() -> None:
    same = ANNA._replace(id="b")
    for other in (
        same._replace(given="muster", family="anna"),
        same._replace(born="1970-01-02"),
        same._replace(street="bachstr 2", postcode="54321", phone=None),
    ):
        assert verdict(other) is Verdict.SAME
    names = Names([ANNA] * 9)
    assert judged(ANNA, same._replace(given="ana", identifiers=()), 1.0, names).verdict is Verdict.SAME
    assert (edits("anna", "anan"), edits("anna", "ana"), edits("a", "xyz")) == (1, 1, 3)
    assert near("1970-05-03", "1970-03-05")
    assert near("1970", "1970-03-05")
    assert not near("1970-05-03", "1971-06-03")


def test_groups_bring_nobody_together_who_is_to_stay_apart() -> None:
    same = [("a", "b"), ("b", "c"), ("d", "e")]
    assert clusters("abcdef", same, []) == ([frozenset("abc"), frozenset("de")], [])
    assert clusters("abcdef", same, [("a", "c")], said=[("a", "c")])[0][0] == frozenset("abc")
    assert clusters("abcdef", same, [], apart=[("a", "c")])[1] == [("b", "c")]
    assert clusters("abcdef", same, [("a", "c")]) == ([frozenset("ab"), frozenset("de")], [("b", "c")])


def test_generated_people_are_joined_without_an_error() -> None:
    known = people(1200, 3, 7)
    truth = {it.patient["id"]: it.person for it in known}
    pairs = paired([person(it.patient) for it in known])
    certain = [pair for pair in pairs if pair.judged.verdict is Verdict.SAME]
    assert all(truth[pair.one] == truth[pair.other] for pair in certain)
    groups, _ = clusters(truth, [(pair.one, pair.other) for pair in certain], [])
    joined = sum(1 for group in groups for one, other in combinations(group, 2) if truth[one] == truth[other])
    assert joined >= 0.95 * 3 * 1200
    assert pairs == paired([person(it.patient) for it in reversed(known)])


async def links(linking: Linking) -> dict[str, set[str]]:
    page = await linking.store.search(Query("Patient", count=200), EVERYTHING)
    contents: list[dict[str, Any]] = [decode(it.content or b"{}") for it in page.versions]
    return {
        it["identifier"][0]["value"]: {link["other"]["reference"] for link in it.get("link", ())} for it in contents
    }


async def test_records_are_linked_decided_about_and_let_go_again(config: Config, archive: Archive) -> None:
    def record(id_: str, **more: Any) -> dict[str, Any]:
        national = more.pop("national", None)
        numbers = [{"system": "urn:mrn", "value": id_}] + ([{"system": "urn:n", "value": national}] if national else [])
        plain = {"birthDate": "1970-01-01", "gender": "female", "name": [{"family": "Muster", "given": ["Erika"]}]}
        return {"resourceType": "Patient", "id": id_, "identifier": numbers, **plain, **more}

    telecom = [{"system": "phone", "value": "+49 30 1234567"}]
    archive("a.ndjson", [record("x", national="7", telecom=telecom), record("far", birthDate="1950-02-02")])
    folder = archive("b.ndjson", [record("y", national="7", birthDate="1970-01-02"), record("z")])
    async with alone(config, system_clock) as loads:
        await loaded(loads, request(folder))
        linking = loads.linking
        found = await linking.run(OPERATOR)
        assert (found["people"], found["groups"], found["joined"]) == (4, 1, 2)
        assert [it["elements"] for it in found["contradictions"]] == [["birthDate"]]
        held = await links(linking)
        assert {name: len(others) for name, others in held.items()} == {"x": 1, "y": 1, "z": 0, "far": 0}
        assert (await linking.run(OPERATOR))["changed"] == 0
        (group,) = await linking.groups()

        x, z = (next(iter(held["y"])), None)
        waiting = await linking.review()
        ids = {pair["one"] for pair in waiting} | {pair["other"] for pair in waiting}
        z = next(id_ for id_ in ids if f"Patient/{id_}" not in (x, next(iter(held["x"]))))
        one = x.removeprefix("Patient/")
        joined = await linking.decide(one, z, True, OPERATOR)
        assert (joined["groups"], joined["joined"]) == (1, 3)
        assert list(await linking.groups()) == [group]
        assert {name: len(others) for name, others in (await links(linking)).items()} == {
            "x": 2, "y": 2, "z": 2, "far": 0,
        }  # fmt: skip
        assert len(await linking.review()) < len(waiting)
        await linking.decide(z, one, None, OPERATOR)
        assert {name: len(others) for name, others in (await links(linking)).items()} == {
            "x": 1, "y": 1, "z": 0, "far": 0,
        }  # fmt: skip
        await linking.decide(one, next(iter(held["x"])).removeprefix("Patient/"), False, OPERATOR)
        assert not any((await links(linking)).values())
        assert list(await linking.groups()) == []
        told = await linking._decisions()
        assert Counter(it["same"] for it in told.values()) == {None: 1, False: 1}
        assert [it["earlier"][0]["same"] for it in told.values() if it["earlier"]] == [True]
        with pytest.raises(NotFound):
            await linking.decide(one, "nobody", True, OPERATOR)
        with pytest.raises(InvalidRequest):
            await linking.decide(one, one, True, OPERATOR)
        assert await loads.list() == ["first"]
