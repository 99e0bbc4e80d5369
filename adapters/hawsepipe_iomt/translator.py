"""The translator kind `devices`: readings, and windows of readings, to Observations, purely."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any

from hawsepipe import (
    Change,
    HawsepipeError,
    Issue,
    Kind,
    MessageError,
    Method,
    Opening,
    RawMessage,
    Severity,
    Trail,
    Translation,
    Translator,
)
from hawsepipe_iomt import devices, resources, sampling, signatures, table, units
from hawsepipe_iomt.devices import Assignment, Registry
from hawsepipe_iomt.messages import READING, WINDOW, Sample, topic_of, window_of
from hawsepipe_iomt.payloads import MISSING, found, microseconds, moment_of
from hawsepipe_iomt.sampling import Point
from hawsepipe_iomt.settings import TRANSLATOR_SCHEMA
from hawsepipe_iomt.templates import Book, Measure, Reading, Template, amount, within


class DeviceTranslator:
    """The templates with the registry."""

    def __init__(self, book: Book, registry: Registry) -> None:
        self._book = book
        self._registry = registry
        self._digest = sha256(book.digest + registry.digest).digest()

    @property
    def media_types(self) -> frozenset[str]:
        """A reading, and a window of readings."""
        return frozenset({READING, WINDOW})

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over the templates, the code and unit tables, and who wears what."""
        return self._digest

    def translate(self, message: RawMessage) -> Translation:
        """Translate one message. Raises MessageError, and nothing else."""
        try:
            if message.media_type == WINDOW:
                return self._window(message.body)
            return self._reading(message)
        except MessageError:
            raise
        except HawsepipeError as error:
            raise MessageError("parse", "", str(error)) from error
        except Exception as error:
            # A fault of ours must stay with this message: the host sets it aside and goes on.
            raise MessageError("mapping", "", f"the translator failed ({type(error).__name__})") from error

    def _reading(self, message: RawMessage) -> Translation:
        topic = topic_of(message.media_type)
        envelope = signatures.opened(message.body)
        readings = self._book.read(topic, envelope.payload)
        changes: dict[tuple[str, str], Change] = {}
        trail: list[Trail] = []
        event: datetime | None = None
        names: list[str] = []
        words = None
        for reading in readings:
            signatures.check(self._registry, reading.device, topic, envelope)
            if reading.template.window is not None:
                continue
            event = reading.time or message.received_at
            source = self._source(reading.device)
            subject = resources.patient(self._wearer(reading, event))
            effective = {"effectiveDateTime": resources.instant_text(event)}
            number = str(reading.sequence if envelope.nonce is None else envelope.nonce)
            told = sha256(message.body).hexdigest() if reading.time is None and reading.sequence is None else number
            id_ = resources.id_of("Observation", reading.template.name, source.id, effective["effectiveDateTime"], told)
            observed, lines = self._observed(reading, id_, subject, source, effective)
            changes |= {(it.type, it.id): it for it in (subject, source)}
            changes["Observation", id_] = observed
            trail += lines
            names.append(reading.template.name)
            words = resources.provenance(source, effective)
        if not names:
            raise MessageError("structure", "topic", "only windows are for this reading: it is no message of its own")
        label = f"reading {'+'.join(names)}"
        return Translation(tuple(changes.values()), (), tuple(trail), label, event, words)

    def _observed(
        self, reading: Reading, id_: str, subject: Change, source: Change, effective: Mapping[str, Any]
    ) -> tuple[Change, list[Trail]]:
        template = reading.template
        place = f"Observation/{id_}"
        concept = template.panel if template.panel is not None else template.measures[0].concept
        resource = resources.observation(id_, concept, template.category, subject, source, effective)
        trail = [Trail(place, "effectiveDateTime", "time" if template.time else "received")]
        parts: list[dict[str, Any]] = []
        for number, measure in enumerate(template.measures):
            value = _value(measure, reading.document)
            if template.panel is None:
                resource["valueQuantity"] = value
                trail.append(Trail(place, "valueQuantity.value", measure.place))
            else:
                parts.append({"code": measure.concept, "valueQuantity": value})
                trail.append(Trail(place, f"component[{number}].valueQuantity.value", measure.place))
        if parts:
            resource["component"] = parts
        return Change(Method.PUT, "Observation", id_, resource), trail

    def _window(self, body: bytes) -> Translation:
        gathered = window_of(body)
        template = self._book.named(gathered.template)
        window = template.window if template is not None else None
        if template is None or window is None:
            raise MessageError("mapping", "", "no template of this name gathers windows any more")
        (measure,) = template.measures
        by_person: dict[Assignment, list[Point]] = {}
        nobodys = 0
        for sample in gathered.samples:
            reading = self._sampled(template, gathered.device, sample)
            for point in sampling.points(measure, reading.document, sample.at, window.period):
                if sampling.start_of(point.at, window) != gathered.start:
                    continue
                try:
                    whom = self._wearer(reading, moment_of(point.at))
                except MessageError:
                    nobodys += 1
                    continue
                by_person.setdefault(whom, []).append(point)
        if not by_person:
            raise MessageError("identity", "device", "nobody is known to have worn this device then")
        source = self._source(gathered.device)
        effective = {
            "effectivePeriod": {
                "start": resources.instant_text(moment_of(gathered.start)),
                "end": resources.instant_text(moment_of(gathered.start + window.length)),
            }
        }
        changes: list[Change] = []
        trail: list[Trail] = []
        issues: list[Issue] = []
        if nobodys:
            text = f"{nobodys} readings of this window are about nobody who is known"
            issues.append(Issue(Severity.WARNING, "identity", "device", text))
        for whom, points in by_person.items():
            subject = resources.patient(whom)
            id_ = resources.id_of("Observation", template.name, source.id, str(gathered.start), subject.id)
            resource = resources.observation(id_, measure.concept, template.category, subject, source, effective)
            resource["valueSampledData"], crowded = sampling.sampled(measure, window, gathered.start, points)
            if crowded:
                text = f"{crowded} readings fell on the position of another one"
                issues.append(Issue(Severity.WARNING, "structure", measure.place, text))
            others = [
                f"{count} in {unit}"
                for unit, count in sampling.told_units(points).items()
                if unit != measure.result_unit
            ]
            if others:
                resource["note"] = [{"text": f"Converted to {measure.result_unit}: {', '.join(others)}."}]
            changes += [subject, Change(Method.PUT, "Observation", id_, resource)]
            trail.append(Trail(f"Observation/{id_}", "valueSampledData.data", measure.place))
            trail.append(Trail(f"Observation/{id_}", "effectivePeriod.start", "time"))
        changes.insert(0, source)
        return Translation(
            tuple(changes),
            tuple(issues),
            tuple(trail),
            f"window {template.name} of {len(gathered.samples)} readings",
            moment_of(gathered.start + window.length),
            resources.provenance(source, effective),
        )

    def _sampled(self, template: Template, device: str, sample: Sample) -> Reading:
        envelope = signatures.opened(sample.payload)
        signatures.check(self._registry, device, sample.topic, envelope)
        for reading in self._book.read(sample.topic, envelope.payload):
            if reading.template is template and reading.device == device:
                return reading
        raise MessageError("mapping", "topic", "the template is not for this reading any more")

    def _source(self, id_: str) -> Change:
        known = self._registry.get(id_)
        return resources.device(known.system if known is not None else devices.SYSTEM, id_)

    def _wearer(self, reading: Reading, instant: datetime) -> Assignment:
        """Return whom a reading is about: whom the payload names, else who wears the device then."""
        if reading.template.patient is not None:
            system, path = reading.template.patient
            value = found(reading.document, path)
            if value is MISSING or not isinstance(value, str) or not value:
                raise MessageError("required", "patient", "the payload names no patient")
            return Assignment(system, value, None, None)
        known = self._registry.get(reading.device)
        worn = known.wearer(instant) if known is not None else None
        if worn is None:
            raise MessageError("identity", "device", "nobody is known to have worn this device then")
        return worn


def _value(measure: Measure, document: Any) -> dict[str, Any]:
    """Return a Quantity in the unit of the result. Raises MessageError for what is no amount that a body can have."""
    value, unit, several = amount(measure, document)
    if several is not None:
        raise MessageError("structure", measure.place, "several samples belong into a window")
    if value is None or not value.is_finite():
        raise MessageError("structure", measure.place, "there is no number to be told")
    made = units.converted(value, unit, measure.result_unit, measure.molar_mass, "unit")
    if within(measure, made):
        raise MessageError("structure", measure.place, "no body can have this value (out of range)")
    return resources.quantity(made, measure.result_unit, (value, unit) if unit != measure.result_unit else None)


def files_of(opening: Opening) -> tuple[Book, Registry]:
    """Return what the files of the settings say. Raises ConfigError."""
    book = table.read(opening.base / opening.settings["templates"], "templates")
    registry = devices.NOBODY
    if "devices" in opening.settings:
        registry = devices.read(opening.base / opening.settings["devices"], "devices")
    return book, registry


@asynccontextmanager
async def open_translator(opening: Opening) -> AsyncIterator[Translator]:
    """Read the files. Raises ConfigError."""
    yield DeviceTranslator(*files_of(opening))


KIND: Kind[Translator] = Kind("devices", TRANSLATOR_SCHEMA, open_translator)


def windows_of(readings: Sequence[Reading]) -> list[tuple[Template, str, int, int]]:
    """Return the windows that readings belong into: template, device, start, and the time of the reading.

    Raises MessageError for what is no sample, so that it is known at the door.
    """
    found_: list[tuple[Template, str, int, int]] = []
    for reading in readings:
        window = reading.template.window
        if window is None or reading.time is None:
            continue
        at = microseconds(reading.time)
        (measure,) = reading.template.measures
        points = sampling.points(measure, reading.document, at, window.period)
        starts = {sampling.start_of(point.at, window) for point in points}
        found_ += [(reading.template, reading.device, start, at) for start in sorted(starts)]
    return found_
