"""What comes first: the tests that start whole services take longest, and none of them is to run alone at the end."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in ("service", "conformance"))
