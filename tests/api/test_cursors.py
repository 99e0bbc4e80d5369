"""A cursor can be used again by the one for whom it was made, after a restart too, and by nobody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.api.cursors import Cursors, Place
from hawsepipe.errors import InvalidRequest
from hawsepipe.model import Principal

KEY = bytes(range(32))
WHO = Principal("Practitioner/1", "app", "main", frozenset({"user/*.rs"}), purpose="TREAT", token_id="t-1")
PLACE = Place((("family", "Lindqvist"), ("_count", "2")), True, ("Lindqvist", None, 5), 17)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
places = st.builds(
    Place,
    st.lists(st.tuples(texts, texts), max_size=4).map(tuple),
    st.booleans(),
    st.lists(st.one_of(texts, st.none(), st.integers(-(2**62), 2**62)), max_size=3).map(tuple),
    st.integers(0, 2**62),
)


@given(places)
def test_what_is_sealed_opens_again_with_the_same_key(place: Place) -> None:
    sealed = Cursors(KEY).seal(place, WHO, "Patient")
    assert Cursors(KEY).open(sealed, replace(WHO, token_id="t-2"), "Patient") == place


def test_a_cursor_is_as_long_whatever_the_key_is() -> None:
    keys = (1, 12, 999, 1_000_000, 2**62)
    assert len({len(Cursors(KEY).seal(replace(PLACE, key=key), WHO, "Patient")) for key in keys}) == 1


def test_a_cursor_shows_nothing_of_the_search() -> None:
    sealed = Cursors(KEY).seal(PLACE, WHO, "Patient")
    assert "Lindqvist" not in sealed
    assert sealed.replace("-", "a").replace("_", "a").isalnum()


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Practitioner/2"},
        {"client": "other"},
        {"tenant": "other"},
        {"purpose": "HRESCH"},
        {"patient": "1"},
    ],
)
def test_a_cursor_of_another_context_is_refused(change: dict[str, Any]) -> None:
    sealed = Cursors(KEY).seal(PLACE, WHO, "Patient")
    with pytest.raises(InvalidRequest):
        Cursors(KEY).open(sealed, replace(WHO, **change), "Patient")


def test_a_cursor_of_another_type_or_key_is_refused() -> None:
    sealed = Cursors(KEY).seal(PLACE, WHO, "Patient")
    with pytest.raises(InvalidRequest):
        Cursors(KEY).open(sealed, WHO, "Observation")
    with pytest.raises(InvalidRequest):
        Cursors(bytes(32)).open(sealed, WHO, "Patient")


def test_every_changed_character_is_noticed() -> None:
    sealed = Cursors(KEY).seal(PLACE, WHO, "Patient")
    for position in range(len(sealed)):
        other = "A" if sealed[position] != "A" else "B"
        forged = sealed[:position] + other + sealed[position + 1 :]
        try:
            opened = Cursors(KEY).open(forged, WHO, "Patient")
        except InvalidRequest:
            continue
        # The last character may hold bits that base64 does not use: then the same bytes were sealed.
        assert (position, opened) == (len(sealed) - 1, PLACE)


@pytest.mark.parametrize("text", ["", "A", "ä", "====", "x" * 100_000, "0", "a b"])
def test_nonsense_is_an_invalid_request(text: str) -> None:
    with pytest.raises(InvalidRequest):
        Cursors(KEY).open(text, WHO, "Patient")


def test_a_short_key_is_not_taken() -> None:
    with pytest.raises(ValueError, match="32"):
        Cursors(b"short")
