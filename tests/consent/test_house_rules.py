"""Rules of the house from plugins: they narrow search and read alike, and fail closed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hawsepipe import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import ALL_NORMAL, PolicySettings
from hawsepipe.consent.view import Gate
from hawsepipe.errors import NotFound
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.query import Query, Total
from hawsepipe.fhir.validate import Validator
from hawsepipe.hooks import ConsentRule
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Change, Method, Principal, Transaction
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite.store import open_store

NOW = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
DOCTOR = Principal("Practitioner/1", "app", "main", frozenset({"user/*.rs"}), frozenset({"physician"}), "TREAT")


class NoEncounters:
    """Hides encounters from everybody."""

    def narrow(self, principal: Principal, instant: datetime) -> visibility.Formula:
        return visibility.Not(visibility.TypeIn(frozenset({"Encounter"})))


class OpensEverything:
    """Tries to widen."""

    def narrow(self, principal: Principal, instant: datetime) -> visibility.Formula:
        return visibility.Constant(True)


class Broken:
    """Fails."""

    def narrow(self, principal: Principal, instant: datetime) -> visibility.Formula:
        raise ValueError("words")


class Confused:
    """Answers with what is no formula."""

    def narrow(self, principal: Principal, instant: datetime) -> visibility.Formula:
        return True  # type: ignore[return-value]  # what a careless plugin does


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    facts = definitions.load()
    async with open_store(
        tmp_path / "store",
        sealer=Commitments("test.example/log", os.urandom),
        labeller=Labels(),
        extractor=Extractor(facts, ""),
        validator=Validator(facts),
        clock=lambda: NOW,
        meters=Meters(),
    ) as opened:
        encounter = {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": {"reference": "Patient/p"},
        }
        changes = (
            Change(Method.PUT, "Patient", "p", {"resourceType": "Patient", "id": "p"}),
            Change(Method.PUT, "Encounter", "e", encounter),
        )
        await opened.commit(Transaction(changes, None, "feed:x", NOW))
        yield opened


async def _seen(store: Store, policy: str, rules: Sequence[ConsentRule]) -> set[str]:
    view = Gate(store, lambda: NOW, PolicySettings(default_policy=policy), Meters(), rules=rules).view(DOCTOR)
    found = set()
    for kind, identity in (("Patient", "p"), ("Encounter", "e")):
        page = await view.search(Query(kind, total=Total.ACCURATE))
        assert page.total == len(page.versions), "what is hidden leaves no gap"
        searched = {version.reference for version in page.versions}
        try:
            read = {(await view.read(kind, identity)).reference}
        except NotFound:
            read = set()
        assert searched == read
        found |= read
    return found


async def test_without_rules_the_policy_decides(store: Store) -> None:
    assert await _seen(store, ALL_NORMAL, ()) == {"Patient/p", "Encounter/e"}


async def test_a_rule_hides_in_search_and_read_alike(store: Store) -> None:
    assert await _seen(store, ALL_NORMAL, (NoEncounters(),)) == {"Patient/p"}


async def test_a_rule_cannot_open_what_consent_closes(store: Store) -> None:
    assert await _seen(store, PolicySettings().default_policy, (OpensEverything(),)) == set()


@pytest.mark.parametrize("rule", [Broken(), Confused()])
async def test_a_rule_that_fails_hides_everything(store: Store, rule: ConsentRule) -> None:
    assert await _seen(store, ALL_NORMAL, (OpensEverything(), rule)) == set()
