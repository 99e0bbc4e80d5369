"""Messages as a person writes them down: a base message with some fields set, and the recipes of a case's `input`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hawsepipe_conformance.feeds.cases import Case, Unclear

_ITEM = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)\s*=\s*(.*)")
_TYPE = re.compile(r"[A-Z]{3}\^[A-Z0-9]{3}")
_MODES = re.compile(r"enhanced (AL|NE|ER|SU)/(AL|NE|ER|SU)")


class Draft:
    """A message that is still being written. Fields are counted as in the standard (MSH-1 is the separator)."""

    def __init__(self, text: str, control: str) -> None:
        self._segments = [line.split("|") for line in text.replace("{id}", control).split("\r") if line]

    def set(self, place: str, value: str) -> Draft:
        """Set a field: `PID-5`, in every segment of that name. Returns the draft."""
        name, _, number = place.partition("-")
        index = int(number) - (1 if name == "MSH" else 0)
        found = [segment for segment in self._segments if segment[0] == name]
        if not found:
            raise Unclear(f"the base message has no {name}")
        for segment in found:
            segment += [""] * (index + 1 - len(segment))
            segment[index] = value
        return self

    def event(self, type_: str, structure: str = "") -> Draft:
        """Set MSH-9 (`ADT^A08`) and EVN-1 along with it. Returns the draft."""
        self.set("MSH-9", f"{type_}^{structure}" if structure else type_)
        if any(segment[0] == "EVN" for segment in self._segments):
            self.set("EVN-1", type_.partition("^")[2])
        return self

    def after(self, name: str, *lines: str) -> Draft:
        """Put segments behind the last one of a name. Returns the draft."""
        at = max(index for index, segment in enumerate(self._segments) if segment[0] == name)
        self._segments[at + 1 : at + 1] = [line.split("|") for line in lines]
        return self

    def without(self, name: str) -> Draft:
        """Leave out the segments of a name. Returns the draft."""
        self._segments = [segment for segment in self._segments if segment[0] != name]
        return self

    def text(self) -> str:
        """Return the message, its segments ended by carriage returns."""
        return "\r".join("|".join(segment) for segment in self._segments) + "\r"

    def body(self, codec: str = "utf-8") -> bytes:
        """Return the message as bytes."""
        return self.text().encode(codec)


def recipe(case: Case, messages: Mapping[str, str], control: str, person: str) -> bytes:
    """Return the one message that a case's `input` describes. Raises Unclear when it is no recipe.

    A recipe is `SEG-n=value` parts parted by commas, a message type (`ZZZ^Q99`), the first characters of an MSH, or
    nothing but a title that names both enhanced modes. The person gets an identifier of this case's own.
    """
    source = case.input.strip()
    if source.startswith("MSH|"):
        draft = _draft(messages, "A01", control, person)
        return draft.set("MSH-2", source.split("|")[1]).body()
    modes = _MODES.match(case.title)
    if not source and modes is not None:
        return _draft(messages, "A01", control, person).set("MSH-15", modes[1]).set("MSH-16", modes[2]).body()
    items = [_ITEM.fullmatch(part.removesuffix(" only").strip()) for part in source.split(",")]
    if _TYPE.fullmatch(source):
        return _draft(messages, "A01", control, person).event(source).body()
    if not source or not all(items):
        raise Unclear("the case has no wire bytes and its input is no recipe that this runner understands")
    pairs = [(f"{item[1]}-{item[2]}", item[3].strip("'\"")) for item in items if item]
    base = "ORU" if any(place.startswith(("OBR", "OBX")) for place, _ in pairs) else "A01"
    draft = _draft(messages, base, control, person)
    for place, value in pairs:
        draft.set(place, value)
    return draft.body()


def _draft(messages: Mapping[str, str], base: str, control: str, person: str) -> Draft:
    if base not in messages:
        raise Unclear(f"the case file has no base message {base}")
    return Draft(messages[base], control).set("PID-3", f"{person}^^^GOOD^MR")
