"""Each import rule is seen to fail once: a copy of the code breaks it, and import-linter must say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("middleware", "adapters", "plugins", "schemas", "conformance")

BREACHES = {
    "rooms": ("middleware/hawsepipe/fhir/query.py", "import hawsepipe.store.contract"),
    "api-without-store": ("middleware/hawsepipe/api/read.py", "import hawsepipe.store.contract"),
    "adapters-are-strangers": ("adapters/hawsepipe_hl7v2/plugin.py", "import hawsepipe_ledger_log"),
    "public-door": ("adapters/hawsepipe_hl7v2/plugin.py", "import hawsepipe.model"),
    "core-without-adapters": ("middleware/hawsepipe/intake/pipeline.py", "import hawsepipe_hl7v2"),
    "aiohttp-at-the-rim": ("middleware/hawsepipe/intake/pipeline.py", "import aiohttp"),
    "versions-without-a-network": ("adapters/hawsepipe_fhir/plugin.py", "import aiohttp"),
    "api-interactions-without-aiohttp": ("middleware/hawsepipe/api/read.py", "import aiohttp"),
    "hl7apy-in-its-adapter": ("middleware/hawsepipe/intake/pipeline.py", "import hl7apy"),
    "verifier-stands-alone": ("middleware/hawsepipe/ledger/verify.py", "import hawsepipe.model"),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("copy")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def _lint(copy: Path, contract: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(copy / folder) for folder in FOLDERS)
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--contract", contract],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_has_a_breach_here() -> None:
    import tomllib

    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert {contract["id"] for contract in contracts} == set(BREACHES)


@pytest.mark.parametrize("contract", BREACHES)
def test_a_breach_of_the_rule_is_found(contract: str, copy: Path) -> None:
    assert _lint(copy, contract).returncode == 0
    name, line = BREACHES[contract]
    module = copy / name
    before = module.read_text(encoding="utf-8")
    module.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        result = _lint(copy, contract)
    finally:
        module.write_text(before, encoding="utf-8")
    assert result.returncode == 1
    assert "BROKEN" in result.stdout
