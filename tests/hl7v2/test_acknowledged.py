"""Acknowledgements as input: read, never answered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hawsepipe import RawMessage
from hawsepipe_hl7v2.settings import MESSAGES
from hawsepipe_hl7v2.translator import Hl7v2Translator

RECEIVED = datetime(2026, 3, 1, 8, 31, tzinfo=UTC)


@pytest.mark.parametrize("event", ["ACK", "ACK^A01^ACK", "ACK^V04^ACK"])
def test_an_acknowledgement_of_any_event_has_a_map_and_needs_no_patient(event: str) -> None:
    body = f"MSH|^~\\&|A|B|C|D|20260301083000+0100||{event}|1|P|2.5.1\rMSA|AA|9\r".encode()
    read = Hl7v2Translator({}).read(RawMessage("adt", RECEIVED, "application/hl7-v2", body))
    assert [issue.text for issue in read.issues if issue.severity == "error"] == []


def test_no_feed_takes_acknowledgements_for_the_record() -> None:
    assert [event for event in MESSAGES if event.startswith("ACK")] == []
