"""The translator kind `dicom`: the manifest of a study to an ImagingStudy, purely.

https://hl7.org/fhir/R4/imagingstudy.html. The study's UID makes the id, so that a study that has grown is a version of
the one that it was.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone, tzinfo
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hawsepipe import (
    Change,
    ConfigError,
    HawsepipeError,
    Issue,
    Kind,
    MessageError,
    Method,
    Opening,
    RawMessage,
    Resource,
    Severity,
    Trail,
    Translation,
    Translator,
)
from hawsepipe_dicom.manifest import MEDIA_TYPE, Series, Study, study_of
from hawsepipe_dicom.settings import TRANSLATOR_SCHEMA

NAMESPACE: Final = UUID("6f1c2a52-7a0e-5d0b-9d8e-4c5b2f0e7a11")
"""The namespace of ids made from business identifiers; that of messages of HL7 v2, so that persons meet."""
MANIFEST: Final = "urn:hawsepipe:extension:study-manifest"
"""The extension of an ImagingStudy with the digest of its files."""
_FORM: Final = 1
_UIDS: Final = "urn:dicom:uid"
_MODALITIES: Final = "http://dicom.nema.org/resources/ontology/DCM"
_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CONNECTION: Final = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
_PAYLOAD: Final = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"


class DicomTranslator:
    """One set of settings. Raises ConfigError for a zone that nobody knows."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        defaults = {
            name: part["default"] for name, part in TRANSLATOR_SCHEMA["properties"].items() if "default" in part
        }
        held = {**defaults, **settings}
        self._endpoint: str = held["endpoint"]
        self._issuers: Mapping[str, str] = held["issuers"]
        self._patients: str | None = held.get("patient_system")
        self._accessions: str | None = held.get("accession_system")
        try:
            self._zone: tzinfo = ZoneInfo(held["timezone"])
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ConfigError("timezone", f"{held['timezone']} is no time zone") from error
        self._digest = sha256(json.dumps([_FORM, held], sort_keys=True).encode()).digest()

    @property
    def media_types(self) -> frozenset[str]:
        """The manifest of a study."""
        return frozenset({MEDIA_TYPE})

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over the settings."""
        return self._digest

    def translate(self, message: RawMessage) -> Translation:
        """Translate one manifest. Raises MessageError, and nothing else."""
        try:
            return self._translate(study_of(message.body))
        except MessageError:
            raise
        except HawsepipeError as error:
            raise MessageError("parse", "", str(error)) from error
        except Exception as error:
            # A fault of ours must stay with this message: the host sets it aside and goes on.
            raise MessageError("mapping", "", f"the translator failed ({type(error).__name__})") from error

    def _translate(self, study: Study) -> Translation:
        issues: list[Issue] = []
        patient = self._patient(study)
        endpoint = self._where()
        uid = study.tags["StudyInstanceUID"]
        id_ = str(uuid5(NAMESPACE, f"ImagingStudy|{_UIDS}|urn:oid:{uid}"))
        place = f"ImagingStudy/{id_}"
        trail = [Trail(place, "identifier[0].value", "0020,000D"), Trail(place, "subject", "0010,0020")]
        modalities = dict.fromkeys(one.tags["Modality"] for one in study.series if "Modality" in one.tags)
        resource: Resource = {
            "resourceType": "ImagingStudy",
            "id": id_,
            "extension": [{"url": MANIFEST, "valueString": study.digest}],
            "identifier": [{"system": _UIDS, "value": f"urn:oid:{uid}"}],
            "status": "available",
        }
        if modalities:
            resource["modality"] = [{"system": _MODALITIES, "code": code} for code in modalities]
        resource["subject"] = {"reference": f"Patient/{patient.id}"}
        started = self._moment(study.tags, "Study", study.tags, issues)
        if started is not None:
            resource["started"] = started
            trail.append(Trail(place, "started", "0008,0020"))
        accession = study.tags.get("AccessionNumber")
        if accession is not None:
            number: dict[str, Any] = {"type": {"coding": [{"system": _TYPES, "code": "ACSN"}]}, "value": accession}
            if self._accessions is not None:
                number = {"type": number["type"], "system": self._accessions, "value": accession}
            resource["identifier"].append(number)
            resource["basedOn"] = [{"type": "ServiceRequest", "identifier": number}]
            trail.append(Trail(place, "basedOn[0].identifier.value", "0008,0050"))
        resource["endpoint"] = [{"reference": f"Endpoint/{endpoint.id}"}]
        resource["numberOfSeries"] = len(study.series)
        resource["numberOfInstances"] = sum(len(one.instances) for one in study.series)
        if "StudyDescription" in study.tags:
            resource["description"] = study.tags["StudyDescription"]
            trail.append(Trail(place, "description", "0008,1030"))
        resource["series"] = [self._series(one, study.tags, issues) for one in study.series]
        trail.append(Trail(place, "series", "0020,000E"))
        trail.append(Trail(place, "extension[0].valueString", "manifest"))
        changes = (patient, endpoint, Change(Method.PUT, "ImagingStudy", id_, resource))
        label = f"study of {resource['numberOfSeries']} series, {resource['numberOfInstances']} instances"
        return Translation(changes, tuple(issues), tuple(trail), label)

    def _series(self, series: Series, study: Mapping[str, str], issues: list[Issue]) -> dict[str, Any]:
        tags = series.tags
        result: dict[str, Any] = {"uid": tags["SeriesInstanceUID"]}
        if (number := _number(tags.get("SeriesNumber", ""))) is not None:
            result["number"] = number
        # R4 wants a modality; OT is DICOM's own word for another one.
        result["modality"] = {"system": _MODALITIES, "code": tags.get("Modality", "OT")}
        if "Modality" not in tags:
            issues.append(Issue(Severity.WARNING, "required", "0008,0060", "a series has no modality; OT is told"))
        if "SeriesDescription" in tags:
            result["description"] = tags["SeriesDescription"]
        result["numberOfInstances"] = len(series.instances)
        started = self._moment(tags, "Series", study, issues)
        if started is not None:
            result["started"] = started
        result["instance"] = []
        for one in series.instances:
            told: dict[str, Any] = {
                "uid": one.uid,
                "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{one.sop_class}"},
            }
            if (number := _number(one.number)) is not None:
                told["number"] = number
            result["instance"].append(told)
        return result

    def _patient(self, study: Study) -> Change:
        value = study.tags.get("PatientID")
        if value is None:
            raise MessageError("identity", "0010,0020", "the study names no patient")
        issuer = study.tags.get("IssuerOfPatientID")
        if issuer is not None:
            system = self._issuers.get(issuer) or f"urn:hawsepipe:authority:{quote(issuer, safe='')}"
        elif self._patients is not None:
            system = self._patients
        else:
            reason = "the patient's identifier has no issuer, and the settings name no system (`patient_system`)"
            raise MessageError("identity", "0010,0021", reason)
        id_ = str(uuid5(NAMESPACE, f"Patient|{system}|{value}"))
        return _known({"resourceType": "Patient", "id": id_, "identifier": [{"system": system, "value": value}]})

    def _where(self) -> Change:
        id_ = str(uuid5(NAMESPACE, f"Endpoint|{self._endpoint}"))
        return _known(
            {
                "resourceType": "Endpoint",
                "id": id_,
                "status": "active",
                "connectionType": {"system": _CONNECTION, "code": "dicom-wado-rs"},
                "payloadType": [{"coding": [{"system": _PAYLOAD, "code": "any"}]}],
                "address": self._endpoint,
            }
        )

    def _moment(self, tags: Mapping[str, str], what: str, study: Mapping[str, str], issues: list[Issue]) -> str | None:
        """Return a date, or date and time with its offset; None where there is none, or none that can be read."""
        date, time = tags.get(f"{what}Date", ""), tags.get(f"{what}Time", "")
        if not date:
            return None
        try:
            day = datetime.strptime(date, "%Y%m%d")  # noqa: DTZ007  the zone comes with the time
            if not time:
                return day.date().isoformat()
            whole, _, fraction = time.partition(".")
            clock = datetime.strptime(whole.ljust(6, "0"), "%H%M%S")  # noqa: DTZ007  the same
            micros = int(fraction.ljust(6, "0")[:6]) if fraction else 0
            zone = _offset(study.get("TimezoneOffsetFromUTC", "")) or self._zone
            moment = datetime.combine(day, clock.time().replace(microsecond=micros), zone)
        except ValueError:
            place = "0008,0020" if what == "Study" else "0008,0021"
            issues.append(Issue(Severity.WARNING, "structure", place, "this is no time, and is not told"))
            return None
        return moment.isoformat(timespec="milliseconds" if micros else "seconds")


def _known(resource: Resource) -> Change:
    """Return the change that makes something known, and leaves what is known as it is."""
    return Change(Method.MERGE, resource["resourceType"], resource["id"], resource, keep=frozenset(resource) - {"id"})


def _number(text: str) -> int | None:
    """Return R4's unsignedInt, None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _offset(text: str) -> tzinfo | None:
    """Return the offset of `+0100`."""
    if len(text) == 5 and text[0] in "+-" and text[1:].isdigit():
        span = timedelta(hours=int(text[1:3]), minutes=int(text[3:]))
        return timezone(-span if text[0] == "-" else span)
    return None


@asynccontextmanager
async def open_translator(opening: Opening) -> AsyncIterator[Translator]:
    """Take the settings. Raises ConfigError."""
    yield DicomTranslator(opening.settings)


KIND: Kind[Translator] = Kind("dicom", TRANSLATOR_SCHEMA, open_translator)
