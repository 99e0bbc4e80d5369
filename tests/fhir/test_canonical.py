"""canonical: one byte string for one JSON value, held to a slow reference that only uses the standard library."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.canonical import canonical, static


class Lexeme(str):
    """A number as spelt."""


SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def reference(content: bytes) -> bytes:
    """The specification in the module's docstring, word for word."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs)
        return dict(pairs)

    def text(value: str) -> str:
        escaped = (SHORT.get(c, f"\\u{ord(c):04x}" if ord(c) < 0x20 else c) for c in value)
        return f'"{"".join(escaped)}"'

    def write(value: Any) -> str:
        match value:
            case Lexeme():
                return str.__str__(value)
            case str():
                return text(value)
            case dict():
                return "{" + ",".join(f"{text(k)}:{write(value[k])}" for k in sorted(value)) + "}"
            case list():
                return "[" + ",".join(write(item) for item in value) + "]"
            case _:
                return {True: "true", False: "false", None: "null"}[value]

    tree = json.loads(content.decode(), parse_float=Lexeme, parse_int=Lexeme, object_pairs_hook=unique)
    return write(tree).encode()


class Number(float):
    """Lets the standard encoder write a lexeme."""

    def __new__(cls, lexeme: str) -> Number:
        made = super().__new__(cls, 0)
        made.lexeme = lexeme
        return made

    lexeme: str

    def __repr__(self) -> str:
        return self.lexeme


NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TREES = st.recursive(
    st.none() | st.booleans() | TEXTS | NUMBERS.map(lambda lexeme: f"\x00number:{lexeme}"),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(TEXTS, children, max_size=5),
    max_leaves=15,
)


def content_of(tree: Any, ascii_only: bool, spaced: bool) -> bytes:
    """Write a tree as JSON in one of its many forms."""
    comma, colon = (" ,\n", "\t: ") if spaced else (",", ":")

    def write(value: Any) -> str:
        if isinstance(value, str) and value.startswith("\x00number:"):
            return value.removeprefix("\x00number:")
        if isinstance(value, dict):
            return (
                "{"
                + comma.join(json.dumps(k, ensure_ascii=ascii_only) + colon + write(v) for k, v in value.items())
                + "}"
            )
        if isinstance(value, list):
            return "[" + comma.join(write(item) for item in value) + "]"
        return json.dumps(value, ensure_ascii=ascii_only)

    return write(tree).encode()


@given(TREES, st.booleans(), st.booleans())
def test_canonical_bytes_agree_with_the_slow_reference(tree: Any, ascii_only: bool, spaced: bool) -> None:
    content = content_of(tree, ascii_only, spaced)
    assert canonical(content) == reference(content)


@given(TREES, st.booleans(), st.booleans())
def test_canonical_bytes_do_not_depend_on_the_form_and_are_a_fixed_point(
    tree: Any, ascii_only: bool, spaced: bool
) -> None:
    once = canonical(content_of(tree, ascii_only, spaced))
    assert once == canonical(content_of(tree, not ascii_only, not spaced))
    assert canonical(once) == once


def test_keys_are_sorted_by_code_point_beyond_the_basic_plane() -> None:
    content = '{"b":1,"é":2,"😀":3,"\ufffd":4,"B":5,"":6}'.encode()
    assert canonical(content) == '{"":6,"B":5,"b":1,"é":2,"\ufffd":4,"😀":3}'.encode()


def test_numbers_stay_lexeme_for_lexeme() -> None:
    content = b'{"z":[-0,-0.0,1e2,1E+2,1.00,0.0000001,-0e1,12345678901234567890123],"a":"-0"}'
    assert canonical(content) == b'{"a":"-0","z":[-0,-0.0,1e2,1E+2,1.00,0.0000001,-0e1,12345678901234567890123]}'


def test_strings_are_escaped_as_little_as_json_allows() -> None:
    content = b'{"a":"\\u0000\\u001f\\b\\t\\n\\f\\r\\/\\u007f\\u2028\\"\\\\\\ud83d\\ude00"}'
    assert canonical(content) == '{"a":"\\u0000\\u001f\\b\\t\\n\\f\\r/\x7f\u2028\\"\\\\😀"}'.encode()


@pytest.mark.parametrize("content", [b'{"a":1,"a":1}', b'[{"a":{"b":-0,"b":1}}]', b'"\\ud800"', b'{"a":1', b"\xff"])
def test_what_has_no_canonical_form_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        canonical(content)


def test_static_leaves_out_only_the_resources_own_meta_and_text() -> None:
    content = (
        b'{"text":{"div":"x"},"resourceType":"Patient","meta":{"versionId":"1"},"contained":[{"text":1,"meta":2}]}'
    )
    assert static(content) == b'{"contained":[{"meta":2,"text":1}],"resourceType":"Patient"}'
    with pytest.raises(InvalidRequest):
        static(b"[]")
