"""Which segments belong together: groups of orders, results, specimens and containers, prior results."""

from __future__ import annotations

import pytest

from hawsepipe_hl7v2.bench import Group
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.structure import Structure
from hawsepipe_hl7v2.tables import shipped


def placed(kind: str, segments: str, **fields: str) -> list[str]:
    """Place segments (`ORC OBR OBX`, told apart by a number: `OBR1`); return each with the groups around it.

    `fields` gives the fields of a segment (`OBR1="||||…"`).
    """
    type_, _, name = kind.partition("/")
    lines = ["MSH|^~\\&|A|B|C|D|20260301||ORU^R01|M|P|2.5.1"]
    lines += [f"{word[:3]}|{fields.get(word, '')}" for word in segments.split()]
    message = parse("\r".join(lines).encode())
    structure = Structure.of(shipped().messages[type_]["structures"][name])
    homes, _ = structure.place(message, Group("message", None))
    words = dict(zip((id(segment) for segment in message.segments[1:]), segments.split(), strict=True))
    told = []
    for one in homes[1:]:
        chain, group = [], one.group
        while group.parent is not None:
            chain.append(("prior " if group.prior and not group.parent.prior else "") + f"{group.name}{group.number}")
            group = group.parent
        told.append(f"{words[id(one.segment)]} in {' of '.join(chain)}")
    return told


def test_an_obr_joins_its_orc_and_results_join_their_obr() -> None:
    assert placed("ORU", "PID ORC OBR1 OBX1 OBR2 OBX2") == [
        "PID in patient1",
        "ORC in order1 of patient1",
        "OBR1 in order1 of patient1",
        "OBX1 in observation1 of order1 of patient1",
        "OBR2 in order2 of patient1",
        "OBX2 in observation2 of order2 of patient1",
    ]


def test_an_observation_before_any_order_is_the_patients() -> None:
    assert placed("ORU", "PID OBX PV1 OBR")[1:] == [
        "OBX in observation1 of patient1",
        "PV1 in patient1",
        "OBR in order1 of patient1",
    ]


def test_an_observation_after_a_specimen_is_the_specimens() -> None:
    assert placed("ORU", "PID OBR OBX1 SPM OBX2 NTE")[2:] == [
        "OBX1 in observation1 of order1 of patient1",
        "SPM in specimen1 of order1 of patient1",
        "OBX2 in observation2 of specimen1 of order1 of patient1",
        "NTE in observation2 of specimen1 of order1 of patient1",
    ]


def test_a_specimen_before_its_order_waits_for_it() -> None:
    assert placed("ORU", "PID SPM OBR OBX")[1:] == [
        "OBR in order1 of patient1",
        "SPM in specimen1 of order1 of patient1",
        "OBX in observation1 of order1 of patient1",
    ]


@pytest.mark.parametrize("both", ["OBR ORC", "ORC OBR"])
def test_an_order_of_a_specimen_may_begin_with_either_segment(both: str) -> None:
    first, second = both.split()
    assert placed("OUL/specimen", f"PID SPM SAC {first}1 {second}1 OBX1 {first}2 {second}2 OBX2")[3:] == [
        f"{first}1 in order1 of specimen1 of patient1",
        f"{second}1 in order1 of specimen1 of patient1",
        "OBX1 in observation1 of order1 of specimen1 of patient1",
        f"{first}2 in order2 of specimen1 of patient1",
        f"{second}2 in order2 of specimen1 of patient1",
        "OBX2 in observation2 of order2 of specimen1 of patient1",
    ]


def test_orders_of_a_container_are_told_apart_by_it() -> None:
    assert placed("OML/container", "PID SPM SAC1 ORC1 OBR1 SAC2 ORC2 OBR2")[2:] == [
        "SAC1 in container1 of specimen1 of patient1",
        "ORC1 in order1 of container1 of specimen1 of patient1",
        "OBR1 in order1 of container1 of specimen1 of patient1",
        "SAC2 in container2 of specimen1 of patient1",
        "ORC2 in order2 of container2 of specimen1 of patient1",
        "OBR2 in order2 of container2 of specimen1 of patient1",
    ]


REPORTED = "|" * 24 + "F"


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ("PID2 ORC2 OBR2 OBX2", {"ORC2": "NW"}),
        ("PV1 AL1 ORC2 OBR2 OBX2", {"ORC2": "NW"}),
        ("ORC2 OBR2 OBX2", {"ORC2": "PR"}),
        ("ORC2 OBR2 OBX2", {"ORC2": "RE", "OBR2": REPORTED}),
        ("OBR2 OBX2", {"OBR2": REPORTED}),
    ],
)
def test_prior_results_are_nothing_of_the_order_that_carries_them(sent: str, fields: dict[str, str]) -> None:
    told = placed("OML", f"PID ORC1 OBR1 OBX1 SPM {sent} ORC3 OBR3", ORC1="NW", ORC3="NW", **fields)
    assert told[5 + len(sent.split()) - 1] == "OBX2 in observation2 of order2 of prior patient1 of order1 of patient1"
    assert told[-2:] == ["ORC3 in order3 of patient1", "OBR3 in order3 of patient1"]


def test_an_obr_without_results_is_an_order_of_its_own() -> None:
    assert placed("OML", "PID ORC OBR1 OBR2", ORC="NW")[-1] == "OBR2 in order2 of patient1"


def test_prior_results_see_the_patient_and_not_the_order_around_them() -> None:
    order = Group("order", Group("patient", Group("message", None)))
    prior = Group("patient", order, prior=True)
    message = parse(b"MSH|^~\\&|A|B|C|D|20260301||OML^O21|M|P|2.5.1\rPID|1\rORC|NW\r")
    assert order.parent is not None
    order.parent.add(message.segments[1])
    order.add(message.segments[2])
    assert prior.segment("PID") is message.segments[1]
    assert prior.segment("ORC") is None
    assert order.segment("ORC") is message.segments[2]
