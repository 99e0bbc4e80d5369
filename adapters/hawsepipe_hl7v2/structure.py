"""The group structure of a message: which segments belong together, by tables (`structures` in `hl7v2/messages/`).

A leader opens a group. It joins the open group of its kind instead when that group has seen only leaders before it
(OBR after its ORC). Any other segment belongs to the innermost open group, or to the group that the table names for
it. A segment that comes before the group it belongs to waits for that group, so that a wrong order gives the same
result as the right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from hawsepipe_hl7v2.bench import Group
from hawsepipe_hl7v2.message import Message, Segment


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
    parents: Mapping[str, str]
    belongs: Mapping[str, str]

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Structure:
        """Read one entry of the structures table."""
        leaders = {
            name: (group["name"], rank) for group in table["groups"] for rank, name in enumerate(group["leaders"])
        }
        return cls(leaders, {group["name"]: group["parent"] for group in table["groups"]}, table["belongs"])

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

        for segment in message.segments:
            name = segment.name
            if name == "NTE":
                put(segment, top, owner)
                continue
            owner = name
            if (leader := self.leaders.get(name)) is not None:
                top = self._lead(top, *leader, counts)
                put(segment, top)
                for one in waiting.pop(top.name, ()):
                    put(one, top)
                continue
            wanted = self.belongs.get(name)
            if wanted is not None:
                home = _find(top, wanted)
                if home is None:
                    waiting.setdefault(wanted, []).append(segment)
                    late.append(segment)
                    continue
                top = home
            put(segment, top)
        # In the order of the message, whatever they waited for.
        homeless = {id(one) for some in waiting.values() for one in some}
        for segment in late:
            if id(segment) in homeless:
                put(segment, top)
        return placed, late

    def _lead(self, top: Group, name: str, rank: int, counts: dict[str, int]) -> Group:
        current = _find(top, name)
        if current is not None and current.highest < rank:
            current.highest = rank
            return current
        start = current.parent if current is not None and current.parent is not None else top
        parent = _find(start, self.parents[name]) or start
        counts[name] = counts.get(name, 0) + 1
        return Group(name, parent, counts[name], highest=rank)


def _find(top: Group, name: str) -> Group | None:
    group: Group | None = top
    while group is not None and group.name != name:
        group = group.parent
    return group
