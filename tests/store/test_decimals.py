"""Decimals as bytes that sort."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from hawsepipe.store.sql.decimals import sortable

numbers = st.decimals(allow_nan=False, allow_infinity=False) | st.decimals(-12, 12, places=1)


@given(one=numbers, other=numbers)
def test_sortable_bytes_compare_as_the_numbers_do(one: Decimal, other: Decimal) -> None:
    assert (sortable(one) < sortable(other)) == (one < other)
    assert (sortable(one) == sortable(other)) == (one == other)


def test_spellings_of_one_number_have_the_same_bytes() -> None:
    assert len({sortable(Decimal(text)) for text in ("1", "1.0", "1.00", "10e-1", "0.1E+1")}) == 1
    assert sortable(Decimal("-0.0")) == sortable(Decimal(0))
