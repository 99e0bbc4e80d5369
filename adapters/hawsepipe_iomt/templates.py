"""Device templates as values: which messages of which topics become which Observations. Pure.

`table` makes them of a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from hawsepipe import MessageError
from hawsepipe_iomt import units
from hawsepipe_iomt.payloads import MISSING, Path, decoded, found, instant, number, whole

_LEVEL = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_MOST_DEVICE = 128


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of a payload: its code, its place, the unit that it comes in (or where that is), the result's unit."""

    concept: Mapping[str, Any]
    value: Path
    place: str
    unit: str | Path
    result_unit: str
    low: Decimal | None
    high: Decimal | None
    molar_mass: Decimal | None
    text_numbers: bool


@dataclass(frozen=True, slots=True)
class Window:
    """How samples are gathered: times in microseconds, by the device's clock; `idle` is a silence by ours."""

    period: int
    count: int
    lateness: int
    idle: int

    @property
    def length(self) -> int:
        """The length of a window."""
        return self.period * self.count


@dataclass(frozen=True, slots=True)
class Template:
    """One row of the table. With one measure and no panel the Observation has a value, else components."""

    name: str
    topic: str
    levels: tuple[str, ...]
    format: str
    match: tuple[tuple[Path, Any], ...]
    device: str | Path
    patient: tuple[str, Path] | None
    time: Path | None
    time_format: str
    sequence: Path | None
    category: str | None
    panel: Mapping[str, Any] | None
    measures: tuple[Measure, ...]
    window: Window | None

    @property
    def filter(self) -> str:
        """The MQTT topic filter to subscribe to."""
        return "/".join("+" if _LEVEL.fullmatch(level) else level for level in self.levels)

    def captured(self, topic: str) -> dict[str, str] | None:
        """Return the named levels of a topic that this template is for, None for another topic."""
        given = topic.split("/")
        # MQTT 5, 4.7.2: a wildcard at the beginning is not for the topics of the broker itself.
        if given[0].startswith("$") and self.levels[0] != given[0]:
            return None
        names: dict[str, str] = {}
        for place, level in enumerate(self.levels):
            if level == "#":
                return names
            if place >= len(given):
                return None
            if level != "+" and (name := _LEVEL.fullmatch(level)):
                names[name[1]] = given[place]
            elif level not in ("+", given[place]):
                return None
        return names if len(given) == len(self.levels) else None

    def fits(self, document: Any) -> bool:
        """Say whether a payload is one of those that this template is for."""
        return all(_equal(found(document, path), value) for path, value in self.match)


@dataclass(frozen=True, slots=True)
class Reading:
    """A payload as a template reads it. `time` is None when the payload has none."""

    template: Template
    document: Any
    device: str
    time: datetime | None
    sequence: int | None


class Book:
    """All templates of a file. `digest` is SHA-256 over what they say."""

    def __init__(self, templates: Sequence[Template], digest: bytes) -> None:
        self.templates = tuple(templates)
        self.digest = digest
        self._by_name = {template.name: template for template in templates}

    def named(self, name: str) -> Template | None:
        """Return a template by its name."""
        return self._by_name.get(name)

    def read(self, topic: str, payload: bytes) -> tuple[Reading, ...]:
        """Return what a payload says, by each template that is for it.

        Raises MessageError: no template is for it, it is not what its templates say it is, or it names no device.
        """
        readings: list[Reading] = []
        documents: dict[str, Any] = {}
        broken: MessageError | None = None
        for template in self.templates:
            levels = template.captured(topic)
            if levels is None:
                continue
            try:
                if template.format not in documents:
                    documents[template.format] = decoded(payload, template.format)
            except MessageError as error:
                broken = error
                continue
            document = documents[template.format]
            if template.fits(document):
                readings.append(_reading(template, levels, document))
        if not readings:
            raise broken or MessageError("mapping", "topic", "no template is for this topic and payload (no template)")
        return tuple(readings)


def _reading(template: Template, levels: Mapping[str, str], document: Any) -> Reading:
    device: Any
    if isinstance(template.device, str):
        device = levels[template.device]
    else:
        device = found(document, template.device)
        device = str(device) if isinstance(device, int) and not isinstance(device, bool) else device
    if not isinstance(device, str) or not 0 < len(device) <= _MOST_DEVICE:
        raise MessageError("required", "device", "the device's identifier is missing")
    time = None
    if template.time is not None:
        told = found(document, template.time)
        if told is MISSING:
            raise MessageError("required", "time", "the time of the reading is missing")
        time = instant(told, template.time_format, "time")
    sequence = None
    if template.sequence is not None:
        sequence = whole(found(document, template.sequence), "sequence")
    return Reading(template, document, device, time, sequence)


def amount(measure: Measure, document: Any) -> tuple[Decimal | None, str, Any]:
    """Return a measure's number as sent (None for null), its unit as UCUM, and whatever else is there (a list).

    Raises MessageError for what is no number, and for a unit that cannot be told.
    """
    value = found(document, measure.value)
    if value is MISSING:
        raise MessageError("required", measure.place, "the value is missing")
    unit = unit_of(measure, document)
    if isinstance(value, list):
        return None, unit, value
    return number(value, measure.place, texts=measure.text_numbers), unit, None


def unit_of(measure: Measure, document: Any) -> str:
    """Return the unit of a measure in a payload. Raises MessageError when the payload should say it and does not."""
    if isinstance(measure.unit, str):
        return units.ucum(measure.unit)
    told = found(document, measure.unit)
    if not isinstance(told, str) or not told:
        raise MessageError("required", "unit", "the unit is missing")
    return units.ucum(told)


def within(measure: Measure, value: Decimal) -> str:
    """Return an empty text for a value that a body can have, `L` for what is below, `U` for what is above."""
    if measure.low is not None and value < measure.low:
        return "L"
    return "U" if measure.high is not None and value > measure.high else ""


def _equal(given: Any, wanted: Any) -> bool:
    if isinstance(given, bool) or isinstance(wanted, bool):
        return given is wanted
    return bool(given == wanted)
