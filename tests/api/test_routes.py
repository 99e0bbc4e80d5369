"""One table: what it routes, what it allows, and nothing beside it."""

from __future__ import annotations

import pytest

from hawsepipe.api.forms import pairs
from hawsepipe.api.routes import TABLE, Router
from hawsepipe.errors import InvalidRequest

ROUTER = Router(frozenset({"Patient", "Observation"}))


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "metadata", "capabilities"),
        ("GET", ".well-known/smart-configuration", "smart-configuration"),
        ("GET", "Patient", "search-type"),
        ("POST", "Patient/_search", "search-type"),
        ("POST", "Patient", "create"),
        ("GET", "Patient/1", "read"),
        ("HEAD", "Patient/1", "read"),
        ("PUT", "Patient/1", "update"),
        ("PUT", "Patient", "update"),
        ("PATCH", "Patient/1", "patch"),
        ("DELETE", "Patient/1", "delete"),
        ("DELETE", "Patient", "delete"),
        ("GET", "Patient/1/_history", "history-instance"),
        ("POST", "Patient/$validate", "$validate"),
        ("GET", "Patient/1/$everything", "$everything"),
        ("GET", "Patient/_history", "history-type"),
        ("GET", "_history", "history-system"),
        ("GET", "Patient/1/_history/2", "vread"),
        ("GET", "Patient/1/_history/2/$receipt", "$receipt"),
        ("GET", "Patient/1/_history/2/$verify", "$verify"),
    ],
)
def test_each_address_leads_to_its_interaction(method: str, path: str, code: str) -> None:
    found = ROUTER.find(method, tuple(path.split("/")))
    assert found.route is not None
    assert found.route.code == code


def test_every_row_of_the_table_is_reached() -> None:
    values = {"{related}": "Observation", "{id}": "a.b-1", "{vid}": "3", "{job}": "j-1", "{file}": "Patient-1.ndjson"}
    for row in TABLE:
        kind = "Patient" if row.only is None else min(row.only)
        found = ROUTER.find(row.method, tuple({**values, "{type}": kind}.get(part, part) for part in row.pattern))
        assert found.route is row


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "Patient/1", ("GET", "HEAD", "PUT", "PATCH", "DELETE")),
        ("DELETE", "Patient/1/_history", ("GET", "HEAD")),
        ("PUT", "Patient/_search", ("POST",)),
        ("GET", "Patient/_search", ("POST",)),
        ("POST", "metadata", ("GET", "HEAD")),
        ("OPTIONS", "Patient/1/_history", ("GET", "HEAD")),
    ],
)
def test_a_method_that_is_not_there_names_those_that_are(method: str, path: str, allowed: tuple[str, ...]) -> None:
    found = ROUTER.find(method, tuple(path.split("/")))
    assert found.route is None
    assert found.allowed == allowed


@pytest.mark.parametrize(
    "path",
    [
        "patient",
        "Nothing",
        "Patient/a_b",
        "Patient/" + "a" * 65,
        "Patient/1/2",
        "Patient/1/_history/2/$other",
        "Patient/1/_history/ä",
        "metadata/1",
    ],
)
def test_there_is_nothing_anywhere_else(path: str) -> None:
    found = ROUTER.find("GET", tuple(path.split("/")))
    assert found.route is None
    assert found.allowed == ()


def test_a_bundle_is_posted_to_the_base() -> None:
    assert ROUTER.find("GET", ()).allowed == ("POST", "GET", "HEAD")
    found = ROUTER.find("POST", ())
    assert found.route is not None
    assert (found.route.code, found.route.also) == ("transaction", ("batch",))


def test_forms_are_read_in_order_and_strictly() -> None:
    assert pairs(b"a=1&b=%C3%A5&a=2+3&c=") == [("a", "1"), ("b", "å"), ("a", "2 3"), ("c", "")]
    for bad in (b"a=%ff", b"a=\xc3\xa5", b"a=%00", b"&".join([b"a=1"] * 1001)):
        with pytest.raises(InvalidRequest):
            pairs(bad)
