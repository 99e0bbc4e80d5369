"""An installation with both translators, and small archives that tests write themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hawsepipe.config import TEMPLATE, Config, read
from hawsepipe.service.credentials import make_keys

FHIR = """
[[translators]]
name = "fhir"
kind = "fhir"
[translators.settings]
"""
Archive = Callable[..., Path]
TERMS = "http://terminology.hl7.org/CodeSystem/"
UPDATED = "2009-05-02T08:00:00Z"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "one"
    folder.mkdir()
    text = TEMPLATE.read_text(encoding="utf-8").replace(
        'load = ["hl7v2", "ledger-log"]', 'load = ["hl7v2", "fhir", "ledger-log"]'
    )
    (folder / "hawsepipe.toml").write_text(text + FHIR, encoding="utf-8")
    made = read(folder / "hawsepipe.toml")
    make_keys(made)
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Write a file of NDJSON below `tmp_path/old` and return that directory."""

    def write(name: str, lines: Sequence[dict[str, Any] | bytes]) -> Path:
        folder = tmp_path / "old"
        folder.mkdir(exist_ok=True)
        texts = [it if isinstance(it, bytes) else json.dumps(it).encode() for it in lines]
        (folder / name).write_bytes(b"\n".join(texts) + b"\n")
        return folder

    return write


def patient(id_: str, family: str = "Muster", version: str = "1", updated: str = UPDATED) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "meta": {"versionId": version, "lastUpdated": updated, "source": "urn:old:system"},
        "identifier": [{"system": "urn:mrn", "value": id_}],
        "name": [{"family": family}],
    }


def observation(id_: str, whose: str, value: float = 71.50) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "meta": {"versionId": "1", "lastUpdated": "2009-05-02T08:00:00Z"},
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "subject": {"reference": f"Patient/{whose}"},
        "effectiveDateTime": "2009-05-01",
        "valueQuantity": {"value": value, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def consent(id_: str, whose: str) -> dict[str, Any]:
    return {
        "resourceType": "Consent",
        "id": id_,
        "status": "active",
        "scope": {"coding": [{"system": f"{TERMS}consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/{whose}"},
        "dateTime": "2008-01-01",
        "policyRule": {"coding": [{"system": f"{TERMS}v3-ActCode", "code": "OPTIN"}]},
        "provision": {"type": "deny"},
    }


def adt(control: str, number: str, moment: str = "20090501083000+0000", family: str = "Muster") -> bytes:
    return (
        f"MSH|^~\\&|ADT1|GOOD|HIS|GOOD|{moment}||ADT^A01^ADT_A01|{control}|P|2.5\r"
        f"EVN|A01|{moment}\rPID|1||{number}^^^GOOD^MR||{family}^Erika||19700101|F\rPV1|1|I|W1^101^A\r"
    ).encode()
