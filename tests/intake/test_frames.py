"""Effects come over a socket as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec
import pytest

from hawsepipe.consent.labels import Labels
from hawsepipe.fhir import definitions, provenance
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.hooks import Refusal
from hawsepipe.intake.effects import Effect, Finding
from hawsepipe.intake.frames import LENGTH, answered, effects
from hawsepipe.model import Change, Method, Resource, Severity, Trail, Transaction
from hawsepipe.store.preparation import Preparation

FACTS = definitions.load()
NOW = datetime(2026, 11, 2, 8, 0, 0, 1, tzinfo=UTC)


def _transaction() -> Transaction:
    observation: Resource = {
        "resourceType": "Observation",
        "id": "1",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
        "subject": {"reference": "Patient/1"},
        "valueQuantity": {"value": Decimal("1.00"), "code": "g"},
        "referenceRange": [{"low": {"value": msgspec.Raw(b"1e2")}}],
    }
    draft = provenance.draft("feed:adt", id="p1", source=bytes(32), label="ADT^A01", rules=bytes(32))
    return Transaction(
        (
            Change(Method.MERGE, "Observation", "1", observation, 0, frozenset({"note"}), frozenset({"category"})),
            Change(Method.DELETE, "Patient", "2", None),
        ),
        draft,
        "feed:adt",
        NOW,
        bytes(32),
        bytes(32),
        (Trail("Observation/1", "status", "OBX-11"),),
        NOW.astimezone(timezone(timedelta(hours=1))),
    )


def test_effects_are_the_same_on_the_other_side() -> None:
    preparation = Preparation(Labels(), Extractor(FACTS, ""), Validator(FACTS), "")
    prepared = preparation.transaction(_transaction())
    assert prepared.story is not None
    sent = [
        Effect("Åström", prepared, None, (Finding("mapping", Severity.WARNING, "PID-3"),)),
        Effect("", None, Refusal("structure", "MSH-9", "is empty")),
    ]
    frame = answered(sent)
    assert int.from_bytes(frame[:LENGTH], "big") == len(frame) - LENGTH
    assert effects(frame[LENGTH:]) == sent
    other = effects(frame[LENGTH:])[0].transaction
    assert other is not None
    assert other.changes[0].change == _transaction().changes[0]
    assert other.provenance == _transaction().provenance


def test_an_effect_that_messagepack_cannot_hold_comes_over_as_well() -> None:
    odd = [Effect("half a pair: \ud800", None)]
    assert effects(answered(odd)[LENGTH:]) == odd


def test_what_holds_no_effects_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected"):
        effects(msgspec.msgpack.encode([1]))
