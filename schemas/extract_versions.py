"""Make `fhir_versions/<version>/elements.json`: which elements the types of DSTU2, STU3 and R5 have.

Usage: python schemas/extract_versions.py DSTU2_FOLDER STU3_FOLDER R5_FOLDER, each a folder of the Python package
fhir.resources (DSTU2 is in 6.4.0, STU3 and R5 are in 8.x). Only the facts are taken: type, element, its types, whether
it repeats. Not needed to build or to run.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]
_TYPE = re.compile(r"fhirtypes\.(\w+)")
_WORDS = {"bool": "Boolean", "str": "String"}
_BUILT_IN = re.compile(r"\b(?:bool|str)\b")
_NOT_TYPES = {"fhirtypes", "fhirtypesvalidators", "fhirabstractmodel", "fhirresourcemodel", "__init__"}
_PRIMITIVES = {
    "Base64Binary", "Boolean", "Canonical", "Code", "Date", "DateTime", "Decimal", "Id", "Instant", "Integer",
    "Integer64", "Markdown", "Oid", "PositiveInt", "String", "Time", "UnsignedInt", "Uri", "Url", "Uuid", "Xhtml",
}  # fmt: skip
VERSIONS = {"dstu2": "1.0.2", "stu3": "3.0.2", "r5": "5.0.0"}


CORRECTED: dict[str, dict[str, dict[str, str | None]]] = {
    "dstu2": {
        "AllergyIntolerance": {"lastOccurence": "dateTime", "lastOccurrence": None},
        "AuditEvent": {
            "agent": None,
            "entity": None,
            "participant": "BackboneElement*",
            "participant.role": "CodeableConcept*",
            "participant.reference": "Reference",
            "participant.userId": "Identifier",
            "participant.altId": "string",
            "participant.name": "string",
            "participant.requestor": "boolean",
            "participant.location": "Reference",
            "participant.policy": "uri*",
            "participant.media": "Coding",
            "participant.network": "BackboneElement",
            "participant.network.address": "string",
            "participant.network.type": "code",
            "participant.purposeOfUse": "Coding*",
            "object": "BackboneElement*",
            "object.identifier": "Identifier",
            "object.reference": "Reference",
            "object.type": "Coding",
            "object.role": "Coding",
            "object.lifecycle": "Coding",
            "object.securityLabel": "Coding*",
            "object.name": "string",
            "object.description": "string",
            "object.query": "base64Binary",
            "object.detail": "BackboneElement*",
            "object.detail.type": "string",
            "object.detail.value": "base64Binary",
        },
        "CarePlan": {"modified": "dateTime", "title": None},
        "CommunicationRequest": {
            "medium": "CodeableConcept*",
            "medium.content[x]": None,
            "payload": "BackboneElement*",
            "payload.content[x]": "Attachment|Reference|string",
        },
        "DocumentReference": {"context.related.ref": "Reference", "context.related.related": None},
        "MedicationAdministration": {"effectiveTime[x]": "dateTime|Period", "effective[x]": None},
        "MedicationStatement": {"note": "string"},
        "Patient": {"contact.period": "Period", "multipleBirth[x]": "boolean|integer", "multiple[x]": None},
        "Procedure": {"category": "CodeableConcept", "encounter": "Reference"},
        "Provenance": {"entity.role": "code", "entity.status": None},
        "Questionnaire": {"group.group": "@group*"},
        "RelatedPerson": {"telecom": "ContactPoint*"},
        "RiskAssessment": {"prediction": "BackboneElement*"},
        "SupplyDelivery": {"time": "Period"},
    }
}
"""What the package has otherwise than the specification (https://hl7.org/fhir/DSTU2/)."""


class Model:
    """The classes of one version by name, with the fields that each adds."""

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, tuple[list[str], list[ast.AnnAssign]]] = {}
        self.roots: dict[str, str] = {}
        for path in sorted(folder.glob("*.py")):
            if path.stem in _NOT_TYPES:
                continue
            for index, node in enumerate(_classes(path)):
                fields = [it for it in node.body if isinstance(it, ast.AnnAssign) and _alias(it)]
                self.classes[node.name] = ([ast.unparse(base).rpartition(".")[2] for base in node.bases], fields)
                if index == 0 or node.name.lower() == path.stem:
                    self.roots[node.name] = path.stem

    def types(self) -> Iterator[tuple[str, Json]]:
        """Yield each type with its base and elements."""
        for name in sorted(self.roots):
            bases, _ = self.classes[name]
            base = bases[0] if bases and bases[0] in self.classes else ""
            own: dict[str, str] = {}
            self._walk(name, "", {name: ""}, own)
            yield name, {"base": base, "elements": own}

    def _walk(self, name: str, prefix: str, seen: dict[str, str], own: dict[str, str]) -> None:
        for field in self.classes[name][1]:
            keywords = _keywords(field)
            element = _alias(field)
            annotation = ast.unparse(field.annotation)
            if "__ext" in ast.unparse(field.target) or "FHIRPrimitiveExtensionType" in annotation:
                continue
            kind = _BUILT_IN.sub(lambda match: f"fhirtypes.{_WORDS[match[0]]}", annotation)
            kind = _TYPE.search(kind)[1]  # type: ignore[index]  # every annotation names a type, or this script must change
            kind = kind.removesuffix("Type") if kind.removesuffix("Type") in self.classes else kind
            kind = kind.removesuffix("Type") if kind.removesuffix("Type") in _PRIMITIVES else kind
            if kind in _PRIMITIVES:
                kind = kind[0].lower() + kind[1:]
            kind = {"ElementType": "Element", "ResourceType": "Resource"}.get(kind, kind)
            choice = keywords.get("one_of_many")
            key = prefix + (f"{choice}[x]" if choice else element)
            below = kind if kind in self.classes and kind not in self.roots else None
            if below is not None and below in seen:
                kind = f"@{seen[below]}"
            elif below is not None:
                kind = "BackboneElement"
            if choice:
                own[key] = "|".join(filter(None, [own.get(key, ""), kind]))
            else:
                own[key] = kind + ("*" if "List" in annotation else "")
            if below is not None and not kind.startswith("@"):
                self._walk(below, f"{key}.", {**seen, below: key}, own)


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            yield node


def _keywords(field: ast.AnnAssign) -> Json:
    """Return the constant keywords of Field(...), those inside `json_schema_extra` too."""
    call = field.value
    if not isinstance(call, ast.Call):
        return {}
    found: Json = {}
    for keyword in call.keywords:
        value = keyword.value
        if isinstance(value, ast.Dict):
            for key, held in zip(value.keys, value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(held, ast.Constant):
                    found[str(key.value)] = held.value
        elif keyword.arg and isinstance(value, ast.Constant):
            found[keyword.arg] = value.value
    return found


def _alias(field: ast.AnnAssign) -> str:
    alias = _keywords(field).get("alias", "")
    return "" if alias.startswith("_") or alias in ("resource_type", "fhir_comments") else alias


def main() -> None:
    """Read the three folders named on the command line and write the tables."""
    target = Path(__file__).parent / "hawsepipe_schemas" / "fhir_versions"
    for (name, version), folder in zip(VERSIONS.items(), sys.argv[1:], strict=True):
        types = dict(Model(Path(folder)).types())
        for type_, elements in CORRECTED.get(name, {}).items():
            held = types[type_]["elements"]
            for path, kinds in elements.items():
                if kinds is None:
                    for gone in [it for it in held if it == path or it.startswith(f"{path}.")]:
                        del held[gone]
                else:
                    held[path] = kinds
        rows = (f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in types.items())
        head = f'{{"source":"fhir.resources (elements and types only)","version":"{version}","facts":'
        (target / name).mkdir(parents=True, exist_ok=True)
        body = head + "{\n" + ",\n".join(rows) + "\n}}\n"
        (target / name / "elements.json").write_text(body, encoding="utf-8")


if __name__ == "__main__":
    main()
