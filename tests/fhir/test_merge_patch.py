"""JSON Merge Patch: the examples of RFC 7396, appendix A, as far as their target is an object."""

from __future__ import annotations

from typing import Any

import pytest

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir import merge_patch


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_the_rfc_says(target: Any, patch: Any, result: Any) -> None:
    before = repr(target)
    assert merge_patch.patched(target, patch) == result
    assert repr(target) == before


def test_what_is_no_object_is_no_merge_patch() -> None:
    with pytest.raises(InvalidRequest):
        merge_patch.parse(b"[]")
