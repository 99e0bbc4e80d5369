"""A small hospital, made by chance from a seed, in which searches find something: few values, many ties."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from hawsepipe.model import Resource

BASE = "https://fhir.example.org/fhir"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"

FAMILIES = ("Lindqvist", "Öberg", "oberg", "van  der Meer", "Lind", "A,b", "Ng")
GIVEN = ("Ann", "Åsa", "Bo", "Cy")
DATES = ("1970", "1970-03", "1970-03-01", "1980-12-31", "2024-02-29", "2026-01-01")
INSTANTS = (
    "2026-01-01", "2026-01-01T08:00:00Z", "2026-01-01T08:00:00.5+02:00", "2026-01-02T00:00:00Z", "2026-02",
    "2025", "2026-01-31T23:59:59-05:00",
)  # fmt: skip
CODES = ("8480-6", "8462-4", "2339-0", "85354-9")
NUMBERS = ("5", "5.0", "5.4", "0.054", "100", "99.5", "-1", "1E+2", "540")
UNITS = ("mg/dL", "g/L", "mg", "g", "mm[Hg]", "kPa")
SUBJECTS = ("Patient", "Patient", "Patient", "Group", "Device", "Location")


class Hospital:
    """Makes resources, each referring to those made before and a few that are nowhere."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.made: list[Resource] = []

    def resources(self) -> list[Resource]:
        """Return all of them, in an order in which everything but a cycle of parts comes after what it refers to."""
        makers = (
            (self.organization, 4), (self.practitioner, 3), (self.location, 9), (self.patient, 7), (self.device, 2),
            (self.group, 3), (self.encounter, 6), (self.observation, 26), (self.condition, 9), (self.risk, 5),
            (self.document, 4), (self.value_set, 4), (self.list, 2), (self.provenance, 14), (self.sequence, 3),
        )  # fmt: skip
        for maker, count in makers:
            for number in range(count):
                name = maker.__name__
                made = maker()
                kind = {"value_set": "ValueSet", "risk": "RiskAssessment", "document": "DocumentReference",
                        "sequence": "MolecularSequence"}.get(name, name.capitalize())  # fmt: skip
                self.made.append({"resourceType": kind, "id": f"{name[:3]}{number}", **self.meta(), **made})
        return self.made

    def some(self, *values: Any) -> Any:
        return self.chance.choice(values)

    def maybe(self, key: str, value: Any, share: float = 0.6) -> dict[str, Any]:
        return {key: value} if self.chance.random() < share else {}

    def meta(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            **self.maybe("tag", [{"system": "urn:tags", "code": self.some("a", "b")}], 0.4),
            **self.maybe("profile", [self.some("http://p/1", "http://p/2|1")], 0.3),
            **self.maybe("security", [{"system": CONFIDENTIALITY, "code": self.some("N", "R")}], 0.3),
            **self.maybe("source", self.some("urn:feed:a", "http://src/b"), 0.3),
        }
        text = {"status": "generated", "div": f"<div>Seen by {self.some('Dr Who', 'Ann')} today</div>"}
        return {**({"meta": found} if found else {}), **self.maybe("text", text, 0.2)}

    def to(self, *kinds: str) -> dict[str, Any]:
        """Return a reference of one of many forms."""
        kind = self.some(*kinds)
        known = [it["id"] for it in self.made if it["resourceType"] == kind]
        if not known or self.chance.random() < 0.08:
            found: dict[str, Any] = self.some(
                {"reference": f"{kind}/nowhere"},
                {"display": "somebody"},
                {"type": kind, "identifier": {"system": "urn:ids", "value": "7"}},
                {"reference": f"https://elsewhere.example/{kind}/1"},
            )
            return found
        local = f"{kind}/{self.some(*known)}"
        return {"reference": self.some(local, local, local, f"{BASE}/{local}", f"{local}/_history/1")}

    def identifier(self) -> dict[str, Any]:
        return {
            **self.maybe("system", self.some("urn:ids", "http://ids/a|b")),
            "value": self.some("7", "8", "a,b", "x|y"),
            **self.maybe("type", {"coding": [{"system": TYPES, "code": self.some("MR", "SS")}], "text": "Number"}),
        }

    def concept(self, *codes: str, system: str = LOINC) -> dict[str, Any]:
        codings = [
            {**self.maybe("system", system, 0.8), "code": code, **self.maybe("display", f"Shown {code}")}
            for code in self.chance.sample(codes, self.some(1, 1, 2))
        ]
        return {**self.maybe("coding", codings, 0.9), **self.maybe("text", self.some("Blood pressure", "Glükose"))}

    def quantity(self) -> dict[str, Any]:
        unit = self.some(*UNITS)
        known = {"system": UCUM, "code": unit}
        return {
            "value": Decimal(self.some(*NUMBERS)),
            **self.maybe("unit", unit),
            **(known if self.chance.random() < 0.8 else {}),
        }

    def period(self) -> dict[str, Any]:
        return {**self.maybe("start", "2026-01-01"), **self.maybe("end", self.some("2026-01-02T08:00:00Z", "2026-02"))}

    def organization(self) -> Resource:
        return {"name": self.some("North", "South", "St. Olof"), **self.maybe("identifier", [self.identifier()]),
                **self.maybe("partOf", self.to("Organization"))}  # fmt: skip

    def practitioner(self) -> Resource:
        return {"name": [self.name()], **self.maybe("gender", self.some("male", "female"))}

    def location(self) -> Resource:
        position = {"latitude": self.some(59.3, 59.33, 57.7), "longitude": self.some(18.0, 18.07, 12.0)}
        return {"name": self.some("Ward 1", "Ward 2"), **self.maybe("position", position),
                **self.maybe("partOf", self.to("Location"))}  # fmt: skip

    def name(self) -> dict[str, Any]:
        return {**self.maybe("family", self.some(*FAMILIES), 0.9), **self.maybe("given", [self.some(*GIVEN)])}

    def patient(self) -> Resource:
        deceased = self.some(
            {}, {"deceasedBoolean": False}, {"deceasedBoolean": True}, {"deceasedDateTime": "2026-01-01"}
        )
        return {
            **self.maybe("identifier", [self.identifier() for _ in range(self.some(1, 2))]),
            **self.maybe("active", self.some(True, False)),
            "name": [self.name()],
            **self.maybe("telecom", [{"system": "phone", "use": "home", "value": self.some("1", "2")}]),
            **self.maybe("gender", self.some("male", "female")),
            **self.maybe("birthDate", self.some(*DATES[:5]), 0.8),
            **deceased,
            **self.maybe("address", [{"city": self.some("Umeå", "Lund"), "postalCode": "9"}]),
            **self.maybe("generalPractitioner", [self.to("Practitioner", "Organization")]),
            **self.maybe("managingOrganization", self.to("Organization")),
        }

    def device(self) -> Resource:
        return {**self.maybe("identifier", [self.identifier()]), **self.maybe("patient", self.to("Patient"))}

    def group(self) -> Resource:
        return {"type": "person", "actual": True, "member": [{"entity": self.to("Patient")} for _ in range(2)]}

    def encounter(self) -> Resource:
        return {
            "status": self.some("finished", "in-progress"),
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": self.some("AMB", "IMP")},
            **self.maybe("subject", self.to("Patient"), 0.9),
            **self.maybe("period", self.period()),
            **self.maybe("serviceProvider", self.to("Organization")),
            **self.maybe("partOf", self.to("Encounter")),
            **self.maybe("location", [{"location": self.to("Location")}]),
        }

    def observation(self) -> Resource:
        when = self.some(
            {"effectiveDateTime": self.some(*INSTANTS)},
            {"effectiveDateTime": self.some(*INSTANTS)},
            {"effectivePeriod": self.period()},
            {"effectiveTiming": {"event": [self.some(*INSTANTS) for _ in range(2)]}},
            {"effectiveInstant": "2026-01-01T08:00:00.123Z"},
            {},
        )
        return {
            "status": self.some("final", "amended"),
            "code": self.concept(*CODES),
            **self.maybe("category", [self.concept("vital-signs", "laboratory", system="http://cat")]),
            **self.maybe("subject", self.to(*SUBJECTS), 0.9),
            **self.maybe("encounter", self.to("Encounter")),
            **self.maybe("performer", [self.to("Practitioner", "Organization", "Patient")]),
            **when,
            **self.value(),
            **self.maybe("identifier", [self.identifier()], 0.3),
            **self.maybe("hasMember", [self.to("Observation")], 0.3),
            **self.maybe("component", [{"code": self.concept(*CODES), **self.value()} for _ in range(2)], 0.4),
        }

    def value(self) -> dict[str, Any]:
        return self.some(  # type: ignore[no-any-return]  # one of these
            {"valueQuantity": self.quantity()}, {"valueQuantity": self.quantity()}, {},
            {"valueCodeableConcept": self.concept("pos", "neg", system="urn:r")},
            {"valueString": self.some("Positive", "trace")}, {"valueDateTime": self.some(*INSTANTS)},
        )  # fmt: skip

    def condition(self) -> Resource:
        return {"subject": self.to("Patient"), **self.maybe("code", self.concept("1", "2", system="urn:sct")),
                **self.maybe("encounter", self.to("Encounter"))}  # fmt: skip

    def risk(self) -> Resource:
        chances = [
            {"probabilityDecimal": Decimal(self.some("0.1", "0.10", "0.5", "5", "100"))} for _ in range(self.some(1, 2))
        ]
        return {"status": "final", "subject": self.to("Patient"), **self.maybe("prediction", chances, 0.8)}

    def document(self) -> Resource:
        return {
            "status": "current",
            "content": [{"attachment": {"title": "x"}}],
            **self.maybe("subject", self.to("Patient")),
            **self.maybe("relatesTo", [
                {"code": self.some("replaces", "appends"), "target": self.to("DocumentReference")} for _ in range(2)
            ], 0.9),
        }  # fmt: skip

    def value_set(self) -> Resource:
        context = [
            {
                "code": {
                    "system": "http://terminology.hl7.org/CodeSystem/usage-context-type",
                    "code": self.some("focus", "age"),
                },
                **self.some(
                    {"valueCodeableConcept": self.concept("1", "2", system="urn:sct")},
                    {"valueQuantity": self.quantity()},
                ),
            }
            for _ in range(2)
        ]
        url = self.some("http://v/a", "http://v/a/b", "http://v/ab", "http://v/a/b/c", "urn:oid:1.2")
        return {"status": "active", **self.maybe("useContext", context, 0.8), **self.maybe("url", url, 0.9)}

    def list(self) -> Resource:
        entry = [{"item": self.to("Patient", "Observation", "Encounter")} for _ in range(6)]
        return {"status": "current", "mode": "working", **self.maybe("title", "Rounds"), "entry": entry}

    def provenance(self) -> Resource:
        return {"target": [self.to("Observation", "Patient", "Encounter")], "recorded": "2026-01-01T00:00:00Z",
                "agent": [{"who": self.to("Practitioner", "Organization")}]}  # fmt: skip

    def sequence(self) -> Resource:
        variant = [{"start": self.some(1, 5, 9), "end": self.some(9, 12)} for _ in range(2)]
        return {
            "coordinateSystem": 0,
            "patient": self.to("Patient"),
            "referenceSeq": {
                "chromosome": {"coding": [{"code": self.some("1", "2")}]},
                "windowStart": self.some(1, 9),
                "windowEnd": 9,
            },
            "variant": variant,
        }
