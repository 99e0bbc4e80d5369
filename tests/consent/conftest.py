"""A generator of small worlds (consents, resources, requests that meet each other often) and a real store with a
gate.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hawsepipe import visibility
from hawsepipe.consent.labels import Labels
from hawsepipe.consent.policy import PolicySettings
from hawsepipe.consent.view import Gate, View
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.ledger.commitment import Commitments
from hawsepipe.meters import Meters
from hawsepipe.model import Access, Change, Method, Principal, Transaction, Version
from hawsepipe.store.contract import Store
from hawsepipe.store.sqlite import open_store
from hawsepipe.visibility import (
    All,
    AtLeast,
    AtMost,
    Formula,
    Has,
    InstanceIn,
    Lacks,
    Measure,
    Not,
    Only,
    Subject,
    TypeIn,
)
from hawsepipe.visibility import Any as Any_

Json = dict[str, Any]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
T = "http://terminology.hl7.org/CodeSystem/"
ACT, REASON, CONF = T + "v3-ActCode", T + "v3-ActReason", T + "v3-Confidentiality"
PART, ACTION, TYPES = T + "v3-ParticipationType", T + "consentaction", "http://hl7.org/fhir/resource-types"
DATES = ("2018", "2026-02", "2026-02-10", "2026-02-20T00:00:00Z", "2026-03-01", "2027", "2026-02-10T09:00:00Z")
PCF = "https://profiles.ihe.net/ITI/PCF/"

DIRECTORY: dict[str, Json] = {
    "CareTeam/ct": {
        "resourceType": "CareTeam",
        "id": "ct",
        "status": "active",
        "participant": [{"member": {"reference": "Practitioner/alice"}, "period": {"end": "2026-06"}}],
    },
    "Group/all": {"resourceType": "Group", "id": "all", "actual": False},
    "Group/few": {
        "resourceType": "Group",
        "id": "few",
        "actual": True,
        "member": [{"entity": {"reference": "Practitioner/bob"}}, {"entity": {"reference": "CareTeam/ct"}}],
    },
    "PractitionerRole/r": {
        "resourceType": "PractitionerRole",
        "id": "r",
        "active": True,
        "practitioner": {"reference": "Practitioner/alice"},
        "organization": {"reference": "Organization/ward"},
    },
    "Organization/ward": {"resourceType": "Organization", "id": "ward", "partOf": {"reference": "Organization/hosp"}},
    "Organization/hosp": {"resourceType": "Organization", "id": "hosp"},
    "Encounter/e": {
        "resourceType": "Encounter",
        "id": "e",
        "subject": {"reference": "Patient/p"},
        "diagnosis": [{"condition": {"reference": "Observation/x"}}],
    },
}


class World:
    """Draws from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)

    def chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def coding(self, system: str, *codes: str) -> Json:
        """A coding with one of the codes, or now and then one that nobody knows."""
        return {"system": system, "code": "no-such-code" if self.chance(12) else self.random.choice(codes)}

    def reference(self, *literals: str) -> Json:
        return {"reference": self.random.choice(literals)}

    def few(self, make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(self.random.choice((1, 1, 1, 2, 3)))]

    def period(self) -> Json:
        if self.chance(15):
            return {"start": "nonsense"}
        start, end = sorted(self.random.choices(DATES, k=2))
        return {"start": start, "end": end} if self.chance(2) else {"end": end} if self.chance(2) else {"start": start}

    def label(self) -> Json:
        if self.chance(20):
            return self.coding(*visibility.SEALED)
        if self.chance(3):
            return self.coding(CONF, "N", "R", "V", "L")
        return self.coding(
            ACT, "PSY", "SUD", "ETH", "HIV", "OPIOIDUD", "SPI", *(("MASK", "odd", "odder") if self.chance(3) else ())
        )

    def code(self) -> Json:
        loinc, snomed = ("http://loinc.org", "2345-7", "72133-2"), ("http://snomed.info/sct", "86406008")
        return {"coding": self.few(lambda: self.coding(*self.random.choice((loinc, snomed))))}

    def actor(self) -> Json:
        recipient = self.chance(2)
        role = self.coding(PART, *(("IRCP", "PRCP") if recipient else ("AUT", "CST")))
        people = ["Practitioner/alice", "Practitioner/bob"]
        groups = ["CareTeam/ct", "Group/few", "Organization/hosp", "PractitionerRole/r", "Group/all", "CareTeam/gone"]
        who = self.reference(*people, *(groups if recipient else []))
        return {"role": {"coding": [role]}, "reference": {"display": "?"} if self.chance(20) else who}

    def datum(self) -> Json:
        meanings = ("instance", "related", "dependents", "authoredby")
        targets = ("Encounter/e", "Observation/o", "Observation/x", "Practitioner/alice", "Encounter/gone")
        return {
            "meaning": "odd" if self.chance(20) else self.random.choice(meanings),
            "reference": self.reference(*targets),
        }

    def criterion(self, name: str) -> Any:
        canonical = {"system": "urn:ietf:rfc:3986", "code": "http://p/1"}
        kinds = ("Observation", "MedicationRequest", "Encounter", "Organization")
        makers: dict[str, Callable[[], Any]] = {
            "period": self.period,
            "actor": lambda: self.few(self.actor),
            "action": lambda: self.few(lambda: {"coding": [self.coding(ACTION, "access", "use", "correct")]}),
            "securityLabel": lambda: self.few(self.label),
            "purpose": lambda: self.few(lambda: self.coding(REASON, "TREAT", "HRESCH", "ETREAT", "BTG", "PATRQT")),
            "class": lambda: self.few(lambda: canonical if self.chance(3) else self.coding(TYPES, *kinds)),
            "code": lambda: self.few(self.code),
            "dataPeriod": self.period,
            "data": lambda: self.few(self.datum),
        }
        return makers[name]()

    def provision(self, depth: int = 0) -> Json:
        elements = ("period", "actor", "action", "securityLabel", "purpose", "class", "code", "dataPeriod", "data")
        resource_side = ("actor", "securityLabel", "class", "code", "dataPeriod", "data")
        count = self.random.choice((0, 0, 1, 1, 2)) if depth == 0 else self.random.choice((0, 1, 1, 1, 2))
        names = self.random.choices(elements if self.chance(3) else resource_side, k=count)
        provision: Json = {name: self.criterion(name) for name in names}
        kind = None if self.chance(8) else self.random.choice(("permit", "permit", "deny"))
        if kind is not None:
            provision["type"] = kind
        if depth < 2 and self.chance(2):
            provision["provision"] = [self.provision(depth + 1) for _ in range(self.random.choice((1, 1, 2)))]
        return provision

    def consent(self) -> Json:
        scopes = ["patient-privacy"] * 8 + ["research", "treatment"]
        consent: Json = {
            "resourceType": "Consent",
            "id": f"c{self.random.randrange(1000)}",
            "status": "inactive" if self.chance(12) else "no-such-code" if self.chance(20) else "active",
            "scope": {"coding": [self.coding(T + "consentscope", *scopes)]},
            "patient": self.reference("Patient/p", "Patient/p", "Patient/p", "Patient/q"),
            "provision": self.provision(),
        }
        if self.chance(3):
            consent["policyRule"] = {"coding": [self.coding(ACT, "OPTIN", "OPTOUT")]}
        if self.chance(25):
            consent["modifierExtension"] = [{"url": "http://odd", "valueBoolean": True}]
        if self.chance(3):
            consent["meta"] = {"profile": [PCF + "StructureDefinition/IHE.PCF.consentBasic"]}
        if self.chance(6):
            consent["identifier"] = [{"system": "urn:x", "value": "1"}]
            consent["dateTime"] = self.random.choice(("2025", "2026-01-01", "2026-02", "2026-02-10"))
        return consent

    def consents(self) -> list[Json]:
        found = [self.consent() for _ in range(self.random.choice((0, 1, 1, 1, 2, 3)))]
        if self.chance(3):  # the same again about the other patients
            for about in ("Patient/p", "Patient/q", "Patient/r"):
                found += [
                    one | {"patient": {"reference": about}} for one in found if one["patient"]["reference"] != about
                ]
        return found[:9]

    def resource(self) -> Json:
        kinds = ["Observation"] * 5 + ["MedicationRequest"] * 2 + ["Encounter", "Consent", "Organization"]
        kind = self.random.choice(kinds)
        resource: Json = {"resourceType": kind, "id": self.random.choice("oex"), "meta": {}}
        if kind != "Organization" and not self.chance(12):
            about = self.reference("Patient/p", "Patient/p", "Patient/p", "Patient/q", "Patient/r")
            resource["patient" if kind == "Consent" else "subject"] = about
        if self.chance(2):
            resource["meta"]["security"] = self.few(self.label)
            if self.chance(3):
                resource["meta"]["security"].append({"system": ACT, "code": "odd"})
        if self.chance(12):
            resource["meta"]["security"] = [self.coding(REASON, "TREAT", "HTEST", "HRESCH")]
        if self.chance(3):
            resource["meta"]["profile"] = ["http://p/1|2"]
        if kind == "Observation":
            resource["code"] = self.code()
            if not self.chance(4):
                resource["effectiveDateTime"] = self.random.choice(DATES)
            if not self.chance(3):
                resource["performer"] = [self.reference("Practitioner/alice", "Practitioner/bob")]
            if self.chance(2):
                resource["encounter"] = {"reference": "Encounter/e"}
            if self.chance(3):
                resource["component"] = [{"code": self.code()}]
            if self.chance(5):
                resource["focus"] = [self.reference("Patient/q", "Patient/p")]
        if kind == "MedicationRequest":
            if self.chance(2):
                resource["medicationReference"] = {"reference": "Medication/m"}
            else:
                resource["medicationCodeableConcept"] = self.code()
            resource["authoredOn"] = self.random.choice(DATES)
            resource["requester"] = {"reference": "Practitioner/alice"}
        return resource

    def request(self) -> Json:
        """Fields of a Principal, and `interaction`."""
        choice = self.random.choice
        scopes = [{"user/*.cruds"}] * 6 + [
            {"patient/*.rs"},
            {"user/Observation.rs", "patient/*.rs"},
            {"user/Consent.rs"},
        ]
        return {
            "subject": choice(["Practitioner/alice"] * 4 + ["Practitioner/bob", "Patient/p"]),
            "actors": frozenset(choice([set(), {"PractitionerRole/r"}, {"PractitionerRole/gone"}])),
            "purpose": choice(["TREAT"] * 5 + ["HRESCH", "CLINTRCH", "BTG", "PATRQT", None]),
            "scopes": frozenset(choice(scopes)),
            "patient": choice([None, "p", "q"]),
            "roles": frozenset(choice([{"physician"}] * 5 + [{"privacy-officer"}, {"nurse"}, set()])),
            "interaction": choice(["read", "search-type", "search-type", "update", "export"]),
        }

    def formula(self, subjects: list[Subject], depth: int = 0) -> Formula:
        """A formula about what these subjects have."""
        choice = self.random.choice
        if depth < 3 and self.chance(2):
            parts = tuple(self.formula(subjects, depth + 1) for _ in range(choice((1, 2, 2))))
            return choice((All(parts), Any_(parts), Not(parts[0])))
        near = choice(subjects)
        kinds = sorted({kind for one in subjects for kind in one.facets.values} | {"code", "label"})
        kind = choice(kinds)
        values = frozenset(value for one in subjects for value in one.facets.values.get(kind, ()) if not self.chance(3))
        measure = choice(list(Measure))
        shared: dict[str, int | None] = {
            "rank": near.facets.rank,
            "clinical_start": near.facets.clinical_start,
            "clinical_end": near.facets.clinical_end,
            "first_recorded": near.first_recorded,
            "last_updated": near.last_updated,
        }
        bound = (shared[measure.value] or 0) + choice((-1, 0, 1))
        makers: list[Callable[[], Formula]] = [
            lambda: TypeIn(frozenset({near.type, choice(["Observation", "Provenance"])})),
            lambda: InstanceIn(frozenset({f"{near.type}/{near.id}"})),
            lambda: Has(kind, values),
            lambda: Only(kind, values),
            lambda: Lacks(kind),
            lambda: AtMost(measure, bound, absent=self.chance(2)),
            lambda: AtLeast(measure, bound, absent=self.chance(2)),
        ]
        return choice(makers)()

    def settings(self) -> Json:
        """Fields of PolicySettings."""
        roles = [None, None, None, {"nurse": frozenset({"MedicationRequest"}), "*": frozenset({"*"})}]
        return {
            "default_policy": PCF + self.random.choice(("Policy-deny", "Policy-basic-normal", "Policy-all-normal")),
            "permit_ceiling": self.random.choice(("N", "R", "R")),
            "role_policy": self.random.choice(roles),
        }

    def instants(self) -> tuple[int, int]:
        """When a version was first recorded and last updated, in microseconds."""
        days = (1_514_764_800, 1_769_904_000, 1_771_545_600, 1_771_545_601, 1_770_714_000)
        first, last = sorted(self.random.choices(days, k=2))
        return first * 1_000_000, last * 1_000_000


@pytest.fixture(scope="session")
def world() -> type[World]:
    return World


@pytest.fixture(scope="session")
def directory_resources() -> dict[str, Json]:
    return DIRECTORY


@pytest.fixture(scope="session")
def noon() -> datetime:
    return NOW


class Hospital:
    """A real store behind a real gate, and a way to put resources in as a feed would."""

    def __init__(self, store: Store, gate: Gate, clock: Ticking) -> None:
        self.store, self.gate, self.clock = store, gate, clock

    async def put(self, *resources: Json) -> tuple[Version, ...]:
        changes = tuple(Change(Method.PUT, one["resourceType"], one["id"], one) for one in resources)
        return await self.store.commit(Transaction(changes, None, "feed:test", self.clock()))

    async def delete(self, kind: str, identity: str) -> None:
        change = Change(Method.DELETE, kind, identity, None)
        await self.store.commit(Transaction((change,), None, "feed:test", self.clock()))

    def view(self, subject: str = "Practitioner/alice", **fields: Any) -> View:
        defaults: Json = {
            "client": "ehr",
            "tenant": "main",
            "scopes": frozenset({"user/*.cruds"}),
            "roles": frozenset({"physician"}),
            "purpose": "TREAT",
        }
        return self.gate.view(Principal(subject=subject, **(defaults | fields)))

    async def accesses(self) -> list[Access]:
        return [access for _, access in await self.store.accesses(0, 1000)]


class Ticking:
    """A clock that moves by a millisecond at each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
async def hospital(tmp_path: Path) -> AsyncIterator[Hospital]:
    async with opened(tmp_path, PolicySettings()) as found:
        yield found


@pytest.fixture
def open_hospital(tmp_path: Path) -> Callable[[PolicySettings], AbstractAsyncContextManager[Hospital]]:
    """Opens a hospital with the settings given."""
    return lambda settings: opened(tmp_path, settings)


@asynccontextmanager
async def opened(path: Path, settings: PolicySettings) -> AsyncIterator[Hospital]:
    clock, meters, labels, known = Ticking(), Meters(), Labels(), definitions.load()
    ids = (f"new-{number}" for number in count(1))
    async with open_store(
        path,
        sealer=Commitments("test.example/consent", os.urandom),
        labeller=labels,
        extractor=Extractor(known, ""),
        validator=Validator(known),
        clock=clock,
        meters=meters,
    ) as store:
        gate = Gate(store, clock, settings, meters, labels=labels, identity=lambda: next(ids))
        yield Hospital(store, gate, clock)
