"""The group structure of a message: which segments belong together, by tables (`structures` in `hl7v2/messages/`).

A leader opens a group. It joins the open group of its kind instead when that group has seen only leaders before it
(OBR after its ORC; `free`: in any order). Any other segment belongs to the innermost open group, or to the group that
the table names for it. A segment that comes before the group it belongs to waits for that group, so that a wrong order
gives the same result as the right one.

An order may carry the results of earlier ones (`prior`). Group names are not sent, so these are told apart by what
begins them: a patient or visit inside the order, an order control of previous results, or an OBR with the status of a
report and no ORC, where each order must have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hawsepipe_hl7v2.bench import Group
from hawsepipe_hl7v2.message import Message, Segment

_FOLLOWERS = frozenset({"NTE", "PRT", "TCD", "SID"})
"""Segments that belong to the one before them, so that a note after them belongs to it as well."""
_PRIOR = frozenset({"PID", "PV1", "AL1", "ORC", "OBR"})
"""Segments that may begin prior results."""
_REPORTED = frozenset({"A", "C", "F", "P", "R"})
"""Result statuses (table 0123) of reports that have results."""


class Placed(NamedTuple):
    """A segment in its group. `after` is the name of the segment that a note belongs to."""

    segment: Segment
    group: Group
    after: str


@dataclass(frozen=True, slots=True)
class Structure:
    """Groups by leader: name → (group, rank among its leaders); the parents of groups; segments that belong to
    one group."""

    leaders: Mapping[str, tuple[str, int]]
    parents: Mapping[str, tuple[str, ...]]
    belongs: Mapping[str, str]
    free: frozenset[str] = frozenset()
    prior: bool = False

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Structure:
        """Read one entry of the structures table."""
        leaders = {
            name: (group["name"], rank) for group in table["groups"] for rank, name in enumerate(group["leaders"])
        }
        parents = {
            group["name"]: (group["parent"],) if isinstance(group["parent"], str) else tuple(group["parent"])
            for group in table["groups"]
        }
        free = frozenset(group["name"] for group in table["groups"] if group.get("free"))
        return cls(leaders, parents, table["belongs"], free, table.get("prior", False))

    def place(self, message: Message, root: Group) -> tuple[list[Placed], list[Segment]]:
        """Return the segments in order with their groups, and those that had to wait for their group."""
        placed: list[Placed] = []
        waiting: dict[str, list[Segment]] = {}
        late: list[Segment] = []
        top, owner = root, ""
        counts: dict[str, int] = {}

        def put(segment: Segment, group: Group, after: str = "") -> None:
            group.add(segment)
            placed.append(Placed(segment, group, after))

        for index, segment in enumerate(message.segments):
            name = segment.name
            if name in _FOLLOWERS:
                put(segment, top, owner)
                continue
            owner = name
            if self.prior and name in _PRIOR and (inside := self._prior(message.segments, index, top)) is not None:
                top = inside
                if name not in self.leaders or name == "PID":
                    put(segment, top)
                    continue
            wanted = self.belongs.get(name)
            home = _find(top, wanted) if wanted is not None else None
            if wanted is not None and home is None:
                waiting.setdefault(wanted, []).append(segment)
                late.append(segment)
                continue
            if (leader := self.leaders.get(name)) is not None:
                top = self._lead(top, name, *leader, counts)
                put(segment, top)
                for one in waiting.pop(top.name, ()):
                    put(one, self._home(top, one, counts))
                continue
            if home is not None:
                top = home
            put(segment, top)
        # In the order of the message, whatever they waited for.
        homeless = {id(one) for some in waiting.values() for one in some}
        for segment in late:
            if id(segment) in homeless:
                put(segment, self._home(top, segment, counts))
        return placed, late

    def _home(self, top: Group, segment: Segment, counts: dict[str, int]) -> Group:
        """Return the group of a segment that had to wait for `top`: that one, or one of its own in it."""
        leader = self.leaders.get(segment.name)
        return self._lead(top, segment.name, *leader, counts) if leader is not None else top

    def _lead(self, top: Group, segment: str, name: str, rank: int, counts: dict[str, int]) -> Group:
        current = _find(top, name)
        if current is not None and current.prior != top.prior:
            current = None
        if current is not None:
            if name in self.free:
                joins = current.segment_here(segment) is None and not current.children
            else:
                joins = current.highest < rank
            if joins:
                current.highest = rank
                return current
        start = current.parent if current is not None and current.parent is not None else top
        parent = _nearest(start, self.parents[name]) or start
        counts[name] = counts.get(name, 0) + 1
        return Group(name, parent, counts[name], highest=rank)

    def _prior(self, segments: Sequence[Segment], index: int, top: Group) -> Group | None:
        """Return the group to go on from: one of prior results, begun here or open, or at the next order the one
        around them; None when the segment has nothing to do with prior results."""
        name = segments[index].name
        order = _find(top, "order")
        if order is None or (order.segment_here("OBR") is None and not top.prior):
            return None
        begun = _outermost_prior(top)
        around = begun.parent if begun is not None else order
        if begun is not None and not begun.children:
            return begun
        if name not in ("ORC", "OBR"):
            return Group("patient", around, prior=True)
        if name == "OBR" and order.segment_here("OBR") is None:
            return None
        if _is_prior(segments, index) or (begun is not None and name == "OBR"):
            return begun or Group("patient", around, prior=True)
        return around if begun is not None else None


def _is_prior(segments: Sequence[Segment], index: int) -> bool:
    """The order that begins here tells results of an earlier one: its control says so, or it is a report without an
    order control where every order has one."""
    segment = segments[index]
    if segment.name == "ORC":
        if segment.text(1) == "PR":
            return True
        request = next((one for one in segments[index + 1 : index + 20] if one.name in ("OBR", "ORC")), None)
        return request is not None and segment.text(1) in ("", "RE") and request.text(25) in _REPORTED
    return segment.text(25) in _REPORTED


def _outermost_prior(top: Group) -> Group | None:
    """Return the group that began the prior results around a group."""
    group: Group | None = top
    found = None
    while group is not None and group.prior:
        found, group = group, group.parent
    return found


def _find(top: Group, name: str) -> Group | None:
    group: Group | None = top
    while group is not None and group.name != name:
        group = group.parent
    return group


def _nearest(top: Group, names: tuple[str, ...]) -> Group | None:
    group: Group | None = top
    while group is not None and group.name not in names:
        group = group.parent
    return group
