"""A letter at the door again: an operator's retry passes only if the settings of now let it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hawsepipe import Asked, RawMessage, Refusal, SetAside
from hawsepipe_hl7v2.asking import ID_REUSED, KEY_REUSED, ask
from hawsepipe_hl7v2.door import Door, arrive, door_of
from hawsepipe_hl7v2.faults import FAULTS
from hawsepipe_hl7v2.settings import FEED_SCHEMA, filled

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def door(**accept: object) -> Door:
    return door_of(filled(FEED_SCHEMA, {"port": 1, "accept": accept}))


def message(
    kind: str = "ADT^A08^ADT_A01",
    control: str = "M1",
    processing: str = "P",
    version: str = "2.5.1",
    sender: str = "ADT1|HARBOUR",
    rest: str = "",
) -> RawMessage:
    body = (
        f"MSH|^~\\&|{sender}|HP|HUB|20261102083015+0100||{kind}|{control}|{processing}|{version}\r"
        f"EVN|A08|20261102083000+0100\rPID|1||M7^^^HARBOUR^MR||Lindqvist^Maria\r{rest}"
    )
    return RawMessage("adt", NOW, "application/hl7-v2", body.encode())


def letter(raw: RawMessage, strict: Door) -> SetAside:
    arrival = arrive(raw, strict)
    return SetAside(raw, arrival.key, arrival.refusal)


@pytest.mark.parametrize(
    ("raw", "refused", "allowed"),
    [
        (message(processing="D"), door(), door(processing_ids=["P", "D"])),
        (message(version="2.4"), door(versions=["2.5.1"]), door(versions=["2.4"])),
        (message(), door(messages=["ADT^A01"]), door(messages=["ADT^*"])),
        (message(), door(senders=["LAB|NORTH"]), door(senders=["ADT1|*"])),
        (
            message("ORU^R01^ORU_R01", rest="OBR|1|||1^Hb^L\rOBX|1|NM|1^Hb^L||13,80||||||F\r"),
            door(values="strict"),
            door(values="lenient"),
        ),
    ],
)
def test_what_the_settings_refuse_is_refused_again_and_passes_once_they_are_mended(
    raw: RawMessage, refused: Door, allowed: Door
) -> None:
    dead = letter(raw, refused)
    assert dead.refusal is not None
    assert ask(raw, dead, refused).refusal == dead.refusal
    assert ask(raw, dead, allowed) == Asked("ADT1|HARBOUR|M1")


def test_a_message_without_a_control_id_is_refused_until_a_copy_has_one() -> None:
    raw = message(control="")
    dead = letter(raw, door())
    assert ask(raw, dead, door()).refusal == Refusal("required", "MSH-10", "the message control id is missing")
    assert ask(message(), dead, door()) == Asked("ADT1|HARBOUR|M1")


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_what_only_the_frame_spoke_against_is_refused_again_and_a_mended_copy_is_not(fault: str) -> None:
    raw = message()
    dead = SetAside(raw, "ADT1|HARBOUR|M1", Refusal("parse", "", fault))
    assert ask(raw, dead, door()).refusal == dead.refusal
    assert ask(message(rest="NTE|1||whole\r"), dead, door()).refusal is None


def test_a_part_that_waits_for_its_rest_does_not_go_alone() -> None:
    raw = message(rest="DSC|P1|F\r")
    dead = SetAside(raw, "ADT1|HARBOUR|M1", Refusal("structure", "DSC-1", "a part of a message"))
    assert ask(raw, dead, door()).refusal == dead.refusal


def test_another_message_under_the_control_id_or_idempotency_key_is_a_reason_where_the_door_has_it_so() -> None:
    raw = message()
    dead = SetAside(raw, "ADT1|HARBOUR|M1", ID_REUSED)
    assert ask(raw, dead, door()).reuse is None
    assert ask(raw, dead, door(), strict=True) == Asked("ADT1|HARBOUR|M1", None, ID_REUSED)
    assert ask(message(control="M2"), dead, door(), strict=True).key == "ADT1|HARBOUR|M2"
    keyed = SetAside(raw, "idempotency|k1", KEY_REUSED)
    assert ask(message(control="M2"), keyed, door()) == Asked("idempotency|k1", None, KEY_REUSED)


def test_where_certificates_stand_for_senders_only_a_sender_that_was_seen_with_its_own_passes() -> None:
    raw = message()
    foreign = SetAside(raw, "ADT1|HARBOUR|M1", Refusal("structure", "MSH-3", "this sender is not one of this feed"))
    refused = ask(raw, foreign, door(), bound=True).refusal
    assert refused is not None
    assert refused.location == "MSH-3"
    assert ask(raw, foreign, door()).refusal is None
    known = SetAside(raw, "ADT1|HARBOUR|M1", Refusal("required", "PID-3", "there is no patient identifier"))
    assert ask(message(rest="NTE|1||mended\r"), known, door(), bound=True).refusal is None
    other = ask(message(sender="LAB|HARBOUR"), known, door(), bound=True).refusal
    assert other is not None
    assert other.location == "MSH-3"
    headless = RawMessage("adt", NOW, "application/hl7-v2", b"PID|1\r")
    nobody = letter(headless, door())
    assert ask(raw, nobody, door(), bound=True).refusal is not None
