"""Queries by chance over the hospitals of `model`: for each parameter, values of which some find something."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from .model import BASE, CODES, CONFIDENTIALITY, DATES, FAMILIES, GIVEN, INSTANTS, LOINC, NUMBERS, TYPES, UCUM, UNITS

GENDERS = "http://hl7.org/fhir/ValueSet/administrative-gender"
PREFIXES = ("", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

words = st.sampled_from


def prefixed(values: Sequence[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda prefix, value: prefix + value, words(PREFIXES), words(values))


def escaped(text: str) -> str:
    for character in ("\\", ",", "|", "$"):
        text = text.replace(character, f"\\{character}")
    return text


dates = prefixed([*DATES, *INSTANTS])
numbers = prefixed(NUMBERS)
quantities = st.builds(
    lambda number, unit: number + unit,
    numbers,
    words(["", *(f"|{UCUM}|{it}" for it in UNITS), *(f"||{it}" for it in UNITS[:2]), "|urn:x|mg"]),
)
coded = words([*CODES, *(f"{LOINC}|{it}" for it in CODES), f"{LOINC}|", f"|{CODES[0]}", "nothing"])
results = words(["pos", "urn:r|neg", "urn:r|", "|pos"])
ids = words([f"{name}{number}" for name in ("pat", "obs", "enc", "org", "pra") for number in range(4)])
identifiers = words(["7", "urn:ids|7", "|8", "urn:ids|", r"a\,b", r"http://ids/a\|b|x\|y", r"x\|y"])
names = words([escaped(it) for it in (*FAMILIES, *GIVEN, "l", "OBERG", "der m", "van der")])
concepts = words(["urn:sct|1", "2", "pos", "urn:r|neg"])
people = words(
    ["pat0", "Patient/pat1", f"{BASE}/Patient/pat2", "Patient/nowhere", "https://elsewhere.example/Patient/1"]
)
missing = words(["true", "false"])
EVERY: dict[str, st.SearchStrategy[str]] = {
    "_id": ids,
    "_id:not": ids,
    "_lastUpdated": st.builds(
        lambda p, s: f"{p}2026-03-01T08:{s}Z", words(PREFIXES), words(["00:30", "01", "00:50.5"])
    ),
    "_tag": words(["urn:tags|a", "b", "urn:tags|"]),
    "_tag:not": words(["urn:tags|a", "b"]),
    "_profile": words(["http://p/1", "http://p/2", "http://p/2|1"]),
    "_security": words(["R", f"{CONFIDENTIALITY}|N"]),
    "_security:below": words([f"{CONFIDENTIALITY}|R"]),
    "_source": words(["urn:feed:a", "http://src/b"]),
    "_source:below": words(["http://src"]),
    "_list": words(["lis0", "lis1", "lis9"]),
    "_text": words(["ann", "dr who", "seen TODAY"]),
    "_content": words(["lund", "glukose", "2026"]),
    "_has:List:item:title": words(["ro"]),
}
OWN: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "Patient": {
        "name": names,
        "family": names,
        "family:exact": names,
        "given:contains": names,
        "name:contains": words(["nd", "E"]),
        "birthdate": dates,
        "birthdate:missing": missing,
        "gender": words(["male", "female"]),
        "gender:not": words(["male"]),
        "gender:in": words([GENDERS]),
        "gender:not-in": words([GENDERS]),
        "gender:missing": missing,
        "identifier": identifiers,
        "identifier:not": identifiers,
        "identifier:text": words(["num"]),
        "identifier:of-type": words([f"{TYPES}|MR|7", f"{TYPES}|SS|8"]),
        "active": words(["true", "false"]),
        "deceased": words(["true", "false"]),
        "death-date": dates,
        "phone": words(["1", "home|2"]),
        "address": words(["um", "LUN", "9"]),
        "general-practitioner": words(["Practitioner/pra0", "pra1", "Organization/org0"]),
        "general-practitioner:Practitioner": words(["pra0"]),
        "organization": words(["org0", "Organization/org1"]),
        "organization.name": words(["no", "St"]),
        "organization.partof.name": words(["no", "so", "st"]),
        "organization.partof.partof.name": words(["no", "so"]),
        "general-practitioner.name": names,
        "general-practitioner:Practitioner.gender": words(["male"]),
        "general-practitioner.identifier": words(["7", "8", "urn:ids|", r"a\,b", r"x\|y"]),
        "_has:Observation:patient:code": coded,
        "_has:Observation:subject:code:not": coded,
        "_has:Observation:patient:_has:Provenance:target:agent": words(["pra0", "pra1", "pra2", "org0", "org1"]),
        "_has:Observation:patient:encounter.status": words(["finished"]),
        "_has:Group:member:_id": words(["gro0"]),
        "_has:Encounter:patient:_has:Observation:encounter:code": coded,
        "_has:RiskAssessment:patient:probability": numbers,
    },
    "Observation": {
        "code": coded,
        "code:not": coded,
        "code:text": words(["blood", "glukose", "shown 8"]),
        "code:missing": missing,
        "category": words(["vital-signs", "http://cat|"]),
        "category:missing": missing,
        "combo-code": coded,
        "status": words(["final", "http://hl7.org/fhir/observation-status|amended"]),
        "date": dates,
        "date:missing": missing,
        "value-quantity": quantities,
        "component-value-quantity": quantities,
        "combo-value-quantity": quantities,
        "value-concept": results,
        "value-string": words(["pos", "TR"]),
        "value-date": dates,
        "value-quantity:missing": missing,
        "subject": people,
        "patient": people,
        "subject:Patient": words(["pat0", "pat1"]),
        "subject:identifier": words(["urn:ids|7", "8"]),
        "subject:missing": missing,
        "encounter": words(["enc0", "Encounter/enc1"]),
        "performer": words(["pra0", "Organization/org0"]),
        "identifier": identifiers,
        "has-member": words(["Observation/obs0", "obs1"]),
        "subject.identifier": identifiers,
        "subject:Patient.name": names,
        "patient.birthdate": dates,
        "patient.organization.name": words(["no"]),
        "patient.organization.partof.name": words(["no", "st"]),
        "subject.name": names,
        "subject:Group.member": words([f"Patient/pat{number}" for number in range(6)]),
        "subject:Group.member.name": names,
        "encounter.subject.name": names,
        "encounter.location.name": words(["ward 1"]),
        "performer.name": names,
        "has-member.code": coded,
        "patient._id": ids,
        "patient._has:Group:member:_id": words(["gro0", "gro1"]),
        "patient.gender:missing": missing,
        "_has:Provenance:target:agent": words(["Practitioner/pra0"]),
        "has-member.has-member.code": coded,
        "code-value-quantity": st.builds("{}${}".format, coded, quantities),
        "component-code-value-quantity": st.builds("{}${}".format, coded, quantities),
        "combo-code-value-quantity": st.builds("{}${}".format, coded, quantities),
        "component-code-value-concept": st.builds("{}${}".format, coded, results),
        "combo-code-value-concept": st.builds("{}${}".format, coded, results),
        "code-value-string": st.builds("{}${}".format, coded, words(["pos"])),
        "code-value-date": st.builds("{}${}".format, coded, dates),
        "code-value-concept": st.builds("{}${}".format, coded, results),
    },
    "Encounter": {
        "date": dates,
        "date:missing": missing,
        "class": words(["AMB", "IMP"]),
        "subject": people,
        "part-of": words([f"enc{number}" for number in range(5)]),
        "part-of.status": words(["finished"]),
        "location": words([f"loc{number}" for number in range(9)]),
        "service-provider.name": words(["no"]),
        "location.partof.name": words(["ward"]),
        "_has:Condition:encounter:code": concepts,
        "class:not": words(["AMB"]),
    },
    "RiskAssessment": {
        "probability": prefixed(["0.1", "0.10", "0.5", "5", "100", "1e2"]),
        "probability:missing": missing,
        "patient.name": names,
    },
    "Location": {
        "near": words(["59.3|18.0|5|km", "59.3|18.0", "57.7|12.0|100|m"]),
        "name": words(["ward 1"]),
        "partof": words([f"loc{number}" for number in range(9)]),
        "partof.partof.name": words(["ward"]),
        "partof:missing": missing,
    },
    "DocumentReference": {
        "relationship": st.builds(
            "{}${}".format,
            words(["replaces", "appends"]),
            words(["DocumentReference/doc0", "doc1", f"{BASE}/DocumentReference/doc2"]),
        ),
        "relation": words(["replaces"]),
        "relatesto": words(["doc0"]),
    },
    "ValueSet": {
        "url": words(["http://v/a", "http://v/a/b"]),
        "url:below": words(["http://v/a", "http://v/a/", "http://v"]),
        "url:above": words(["http://v/a/b/c/d", "http://v/a/b"]),
        "url:missing": missing,
        "context-type-value": st.builds("{}${}".format, words(["focus", "age"]), concepts),
        "context-type-quantity": st.builds("{}${}".format, words(["focus", "age"]), quantities),
        "context": concepts,
    },
    "MolecularSequence": {
        "chromosome-variant-coordinate": st.builds(
            "{}${}${}".format, words("12"), prefixed("159"), prefixed(["9", "12"])
        ),
        "chromosome-window-coordinate": st.builds("{}${}${}".format, words("12"), prefixed("19"), prefixed("9")),
        "variant-start": prefixed("159"),
    },
    "Condition": {"code": concepts, "subject": people, "encounter.class": words(["AMB", "IMP"])},
    "Organization": {
        "name": words(["n", "st."]),
        "partof": words(["org0"]),
        "_has:Patient:organization:gender": words(["male"]),
        "_has:Patient:organization:_has:Observation:patient:code": coded,
        "identifier": identifiers,
    },
}
SORTS: dict[str, list[str]] = {
    "Patient": [
        "family",
        "-family",
        "birthdate",
        "-birthdate",
        "_lastUpdated",
        "-_lastUpdated",
        "gender,-birthdate",
        "organization",
    ],
    "Observation": [
        "date",
        "-date",
        "code,-date",
        "value-quantity",
        "-value-quantity",
        "subject",
        "status,-_lastUpdated",
    ],
    "RiskAssessment": ["probability", "-probability"],
    "Encounter": ["date", "-date,class"],
}
INCLUDES: dict[str, list[tuple[str, str]]] = {
    "Patient": [
        ("_include", "Patient:organization"),
        ("_include", "Patient:general-practitioner:Practitioner"),
        ("_revinclude", "Observation:patient"),
        ("_revinclude", "Observation:subject:Patient"),
        ("_include:iterate", "Organization:partof"),
        ("_revinclude:iterate", "Provenance:target"),
        ("_include", "*"),
        ("_include", "Patient:*"),
        ("_revinclude", "Encounter:*"),
        ("_revinclude", "*"),
        ("_revinclude:iterate", "Observation:encounter"),
    ],
    "Observation": [
        ("_include", "Observation:subject"),
        ("_include", "Observation:patient"),
        ("_include", "Observation:encounter"),
        ("_include:iterate", "Encounter:part-of"),
        ("_include:iterate", "Observation:has-member"),
        ("_include:iterate", "Patient:organization"),
        ("_include", "Observation:subject:Group"),
        ("_revinclude", "Provenance:target"),
        ("_include", "Observation:*"),
        ("_include", "Encounter:subject"),
    ],
}


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    kind = draw(words(sorted(OWN)))
    pool = {**EVERY, **OWN[kind], **OWN[kind]}
    pairs: list[tuple[str, str]] = []
    for name in draw(st.lists(words(sorted(pool)), min_size=0, max_size=3)):
        values = draw(
            st.lists(pool[name], min_size=1, max_size=1 if name.endswith((":missing", ":in", ":not-in")) else 2)
        )
        pairs.append((name, ",".join(values)))
    if kind in SORTS and draw(st.booleans()):
        pairs.append(("_sort", draw(words(SORTS[kind]))))
    if kind in INCLUDES and draw(st.booleans()):
        pairs += draw(st.lists(words(INCLUDES[kind]), min_size=1, max_size=3, unique=True))
    return kind, pairs
