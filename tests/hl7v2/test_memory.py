"""Who reads on when the connections of a feed hold too much together."""

from __future__ import annotations

from dataclasses import dataclass

from hawsepipe_hl7v2.memory import Memory


@dataclass(eq=False)
class Sender:
    woken: int = 0

    def wake(self) -> None:
        self.woken += 1


def test_below_the_limit_everybody_reads() -> None:
    memory, sender = Memory(100, 10), Sender()
    memory.hold(sender, 100)
    assert memory.may_read(sender)


def test_beyond_it_one_goes_on_and_the_others_wait_in_turn() -> None:
    memory, first, second, third = Memory(100, 10), Sender(), Sender(), Sender()
    for sender in (first, second, third):
        memory.hold(sender, 60)
    assert [memory.may_read(sender) for sender in (first, second, third)] == [True, False, False]
    memory.hold(first, 200)
    assert memory.may_read(first)
    memory.hold(first, 0)
    assert (second.woken, third.woken) == (1, 0)
    assert [memory.may_read(sender) for sender in (second, third)] == [True, False]


def test_a_sender_within_its_share_is_always_read() -> None:
    memory, huge, small = Memory(100, 10), Sender(), Sender()
    memory.hold(huge, 500)
    memory.hold(small, 10)
    assert memory.may_read(small)


def test_everybody_is_woken_when_there_is_room_again() -> None:
    memory, first, second, third = Memory(100, 10), Sender(), Sender(), Sender()
    for sender in (first, second, third):
        memory.hold(sender, 60)
        memory.may_read(sender)
    memory.hold(first, 0)
    memory.hold(second, 0)
    assert memory.total == 60
    assert (second.woken, third.woken) == (0, 1)
    assert memory.may_read(third)
