"""codec: JSON in, JSON out, decimals as spelt."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import DEPTH, decode, encode, number

LEXEMES = ("1.00", "0.0000001", "1e2", "1E+2", "-0.0", "1.5e-9", "1E400", "123456789012345678901234567890.10", "7")


@pytest.mark.parametrize("lexeme", LEXEMES)
def test_a_number_leaves_as_it_came(lexeme: str) -> None:
    data = f'{{"value":{lexeme}}}'.encode()
    assert encode(decode(data)) == data
    assert number(decode(data)["value"]) == Decimal(lexeme)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25}([eE][+-]?[0-9]{1,3})?|[eE][+-]?[0-9]{1,3})", fullmatch=True)
)
def test_any_decimal_leaves_as_it_came(lexeme: str) -> None:
    data = f'{{"a":[{lexeme}]}}'.encode("ascii")
    assert encode(decode(data)) == data


def test_a_float_of_an_adapter_is_worth_its_shortest_spelling() -> None:
    assert number(0.1) == Decimal("0.1")


def test_number_refuses_what_is_not_a_number() -> None:
    for value in (True, None, "1", msgspec.Raw(b'"1"'), [1]):
        with pytest.raises(InvalidRequest):
            number(value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\ud800\\u0041"}',
        b'{"\\udc00":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b"\xef\xbb\xbf{}",
        b'{"a":1',
        b"{} x",
        b"",
        b"[]",
        b"1",
        b"null",
        b'{"a":01}',
        b'{"a":1,}',
        b'{"a":1e99999999999999999999}',
        b'{"a":0.' + b"1" * 5000 + b"}",
        b'{"a":' + b"1" * 5000 + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(data)


def test_an_error_names_the_byte_and_nothing_of_the_content() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(b'{"family":"Chalmers","given":[nope]}')
    assert str(caught.value) == "the JSON is malformed at byte 34"
    assert caught.value.location == "byte 34"


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"a":1,"a":1}', "$"),
        (b'{"a" : 1, "a": 2}', "$"),
        (b'{"a":1,"\\u0061":1}', "$"),
        (b'{"name":[{},{"family":"x","family":"y"}]}', "$.name[1]"),
        (b'{\n "name": [\n  {"family": "x"}, {"b": {"family":"x" ,"family":"y"}}]}', "$.name[1].b"),
        (b'{"x":"\\":","a":1,"a":2}', "$"),
        (b'{"Secret name":{"a":1,"a":2}}', "$.?"),
    ],
)
def test_a_key_that_occurs_twice_is_refused_with_its_place(data: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(data)
    assert caught.value.location == place
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize("space", [b"", b" "])
def test_a_resource_may_nest_to_the_limit_and_no_deeper(space: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + space + b"[" * (depth - 1) + b"1" + b"]" * (depth - 1) + b"}"

    decode(nested(DEPTH))
    with pytest.raises(InvalidRequest, match="deeper"):
        decode(nested(DEPTH + 1))
    empty = b'{"a":' + space + b"[" * DEPTH + b"]" * DEPTH + b"}"
    with pytest.raises(InvalidRequest, match="deeper"):
        decode(empty)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=4), children, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=4), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_json_object_is_read_whatever_its_white_space(
    tree: dict[str, object], indent: str | int | None, raw: bool
) -> None:
    text = json.dumps(tree, indent=indent, ensure_ascii=not raw, separators=(" , ", " : "))
    assert decode(text.encode()) == tree


def test_a_value_that_json_cannot_hold_is_refused_on_the_way_out() -> None:
    for value in (object(), "\ud800", {1: 2, object(): 3}):
        with pytest.raises(InvalidRequest):
            encode({"a": value})
