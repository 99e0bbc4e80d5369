"""RFC 6902, appendix A and the edges of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import codec
from hawsepipe.fhir.json_patch import patched


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}], {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}], {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}], {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, [{"op": "replace", "path": "/baz", "value": "boo"}], {"baz": "boo"}),
        (
            {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
            [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}],
            {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
        ),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            [{"op": "move", "from": "/foo/1", "path": "/foo/3"}],
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": ["a", 2]}, [{"op": "test", "path": "/foo/1", "value": 2}], {"foo": ["a", 2]}),
        ({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"g": {}}}], {"foo": "bar", "child": {"g": {}}}),
        ({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}], {"foo": ["bar", ["abc"]]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"": 1}, [{"op": "test", "path": "/", "value": 1}], {"": 1}),
    ],
)
def test_the_examples_of_the_rfc_hold(before: Any, operations: Any, after: Any) -> None:
    kept = codec.encode(before)
    assert patched(before, operations) == after
    assert codec.encode(before) == kept


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nothing"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "add", "path": "/a/3", "value": 1},
        {"op": "add", "path": "/a/01", "value": 1},
        {"op": "add", "path": "/s/x", "value": 1},
        {"op": "add", "path": "/no/x", "value": 1},
        {"op": "replace", "path": "/a/-", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/~2", "value": 1},
        {"op": "move", "from": "/o", "path": "/o/p"},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "test", "path": "/o", "value": {}},
        {"op": "test", "path": "/s", "value": None},
        {"op": "replace", "path": "", "value": [1]},
    ],
)
def test_what_does_not_fit_the_document_is_refused(operation: Any) -> None:
    with pytest.raises(InvalidResource):
        patched({"a": [1], "o": {"p": 1}, "s": "x"}, [operation])


def test_numbers_are_tested_by_value_and_kept_as_spelt() -> None:
    before = codec.decode(b'{"a":1.00,"b":1e2}')
    after = patched(before, [{"op": "test", "path": "/a", "value": 1}, {"op": "test", "path": "/b", "value": 100}])
    assert codec.encode(after) == b'{"a":1.00,"b":1e2}'
    assert after["a"] == Decimal("1.00")
    assert isinstance(after["b"], msgspec.Raw)


def test_copies_cannot_grow_without_bound() -> None:
    with pytest.raises(InvalidResource):
        patched({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/a/-"}] * 100)
