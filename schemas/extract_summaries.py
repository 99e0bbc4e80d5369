"""Extract which elements R4 marks for a summary, from the specification's own package of examples.

`python schemas/extract_summaries.py PACKAGE.tgz [FOLDER]`, PACKAGE.tgz being `hl7.fhir.r4.examples-4.0.1.tgz` of
packages.fhir.org, which holds the StructureDefinitions of every type among its examples. What is written is facts:
type -> paths of the elements with isSummary. The package is not needed to build or run anything.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path
from typing import Any

SOURCE = "hl7.fhir.r4.examples@4.0.1"
VERSION = "4.0.1"


def summaries(package: Path) -> dict[str, list[str]]:
    """Return type -> the paths below it (`contact.name`, `deceased[x]`) that are part of a summary."""
    found: dict[str, list[str]] = {}
    with tarfile.open(package) as archive:
        for member in archive:
            if not Path(member.name).name.startswith("StructureDefinition-"):
                continue
            held = archive.extractfile(member)
            assert held is not None
            definition: dict[str, Any] = json.load(held)
            name = definition.get("type")
            specialises = definition.get("derivation", "specialization") == "specialization"
            if definition.get("resourceType") != "StructureDefinition" or not specialises or definition["id"] != name:
                continue
            paths = [it["path"].partition(".")[2] for it in definition["snapshot"]["element"] if it.get("isSummary")]
            found[name] = [path for path in paths if path]
    return dict(sorted(found.items()))


def main() -> None:
    """Write the table."""
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).parent / "hawsepipe_schemas" / "r4")
    rows = ",\n".join(
        f"{json.dumps(name)}:{json.dumps(paths, separators=(',', ':'))}"
        for name, paths in summaries(Path(sys.argv[1])).items()
    )
    text = f'{{"source":"{SOURCE}","version":"{VERSION}","facts":{{\n{rows}\n}}}}\n'
    (folder / "summaries.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
