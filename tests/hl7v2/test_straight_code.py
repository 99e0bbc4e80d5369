"""The code that tables become: functions for paths and for composites, and the short ways beside the long ones."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hawsepipe import Trail, Trails, Translation
from hawsepipe.fhir import provenance
from hawsepipe.fhir.codec import encode
from hawsepipe_hl7v2 import compiler, translate
from hawsepipe_hl7v2.bench import Bench, Event
from hawsepipe_hl7v2.composites import Column, Fill, filler, long_way
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.paths import Twinned, place, source
from hawsepipe_hl7v2.tables import shipped
from hawsepipe_hl7v2.times import _any, date_time
from hawsepipe_hl7v2.translator import Hl7v2Translator

URL = "urn:x"
TRANSLATOR = Hl7v2Translator({})
HEADER = b"MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01^ADT_A01|M1|P|2.5.1\r"


@pytest.mark.parametrize(
    ("path", "before", "value", "written", "after"),
    [
        ("gender", {}, "female", "gender", {"gender": "female"}),
        ("gender", {"gender": "male"}, "female", None, {"gender": "male"}),
        ("gender", {"_gender": {}}, "female", None, {"_gender": {}}),
        ("code", {"code": {"text": "a"}}, {"text": "b", "id": "c"}, "code", {"code": {"text": "a", "id": "c"}}),
        ("period.start", {}, "2026", "period.start", {"period": {"start": "2026"}}),
        ("name[]", {"name": ["a"]}, "b", "name[1]", {"name": ["a", "b"]}),
        ("name[]", {"name": ["a", "b"]}, "a", "name[0]", {"name": ["a", "b"]}),
        ("name[]", {"name": ["a"], "_name": [{}]}, "b", "name[1]", {"name": ["a", "b"], "_name": [{}, None]}),
        ("coding[0].code", {}, "c", "coding[0].code", {"coding": [{"code": "c"}]}),
        ("coding[1]", {"coding": [1]}, 2, "coding[1]", {"coding": [1, 2]}),
        ("coding[1]", {"coding": []}, 2, None, {"coding": []}),
        (
            f"extension[{URL}].valueString",
            {"extension": [{"url": "urn:y"}]},
            "v",
            "extension[1].valueString",
            {"extension": [{"url": "urn:y"}, {"url": URL, "valueString": "v"}]},
        ),
        (
            "gender",
            {},
            Twinned(None, {"url": URL}),
            "_gender",
            {"_gender": {"extension": [{"url": URL}]}},
        ),
        (
            "given[]",
            {"given": ["a"]},
            Twinned("b", {"url": URL}, ({"url": "urn:y"},)),
            "given[1]",
            {"given": ["a", "b"], "_given": [None, {"extension": [{"url": URL}, {"url": "urn:y"}]}]},
        ),
    ],
)
def test_a_path_writes_where_it_says(path: str, before: Any, value: Any, written: str | None, after: Any) -> None:
    target = deepcopy(before)
    assert (place(path)(target, value), target) == (written, after)


def test_a_path_can_be_read_as_source_and_holds_urls_only_as_literals() -> None:
    hostile = "extension['): import os #].valueString"
    target: dict[str, Any] = {}
    assert "import os" in source(hostile)
    assert place(hostile)(target, 1) == "extension[0].valueString"
    assert target == {"extension": [{"url": "'): import os #", "valueString": 1}]}
    for wrong in ("", "a b", "a..b", "[0]"):
        with pytest.raises(ValueError, match="path"):
            source(wrong)


def bench(tail: str = "") -> Bench:
    message = parse(HEADER + tail.encode())
    return Bench(message, TRANSLATOR._site, Event("ADT", "A01", True, True, None, False))


def both_ways() -> dict[str, tuple[Fill, Fill]]:
    """Each data type of the tables as straight code and the long way."""
    found: dict[str, tuple[Fill, Fill]] = {}

    def noted(name: str, columns: Sequence[Column], late: Sequence[int] = ()) -> Fill:
        straight = filler(name, columns, late)
        found[name] = straight, long_way(name, columns, late)
        return straight

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "filler", noted)
        compiler.Compiler(shipped().datatypes, shipped().codes)
    return found


WAYS = both_ways()
PARTS = st.one_of(
    st.sampled_from(["", "", "A", "M", "DOE", "19800101", "20260301083000+0000", '""', "Y", "1.50", "L", " B ", "x^y"]),
    st.text(alphabet="AB1 .-^&\\T", max_size=6),
)


@pytest.mark.parametrize("name", sorted(WAYS))
@given(parts=st.lists(PARTS, max_size=26))
def test_a_composite_is_the_same_as_straight_code_and_the_long_way(name: str, parts: list[str]) -> None:
    raw, results = "^".join(parts), []
    for fill in WAYS[name]:
        at, target = bench("NTE|1||a\\T\\b\r"), dict[str, Any]()
        leaves = fill(at, raw, "PID-5", target)
        results.append(
            (target, leaves, at.issues, [(draft.url, draft.body, draft.trail) for draft in at.drafts.values()])
        )
    assert results[0] == results[1]


@given(
    st.one_of(
        st.from_regex(r"[0-9]{8}|[0-9]{14}[+-][0-9]{4}", fullmatch=True),
        st.datetimes().map(lambda moment: f"{moment:%Y%m%d%H%M%S}+0100"),
        st.dates().map(lambda day: f"{day:%Y%m%d}"),
        st.text(max_size=19),
        st.sampled_from(["99991231", "20260230", "20260301240000+0000", "20260301083060+0000", "20260301083000+1500"]),
    )
)
def test_a_time_as_nearly_all_are_written_is_what_it_is_the_long_way(text: str) -> None:
    assert date_time(text, None) == _any(text, None)


def test_a_trail_is_a_sequence_of_its_lines_however_it_was_noted() -> None:
    leaves = [(".given[0]", "PID-5.2"), ("", "PID-5")]
    trails = Trails([("Patient/1", [("name[0]", leaves)]), ("Provenance", [("recorded", (("", "EVN-2"),))])])
    told = [
        Trail("Patient/1", "name[0].given[0]", "PID-5.2"),
        Trail("Patient/1", "name[0]", "PID-5"),
        Trail("Provenance", "recorded", "EVN-2"),
    ]
    assert (list(trails), len(trails), trails[0], trails[1:]) == (told, 3, told[0], tuple(told[1:]))
    assert trails == tuple(told)
    assert trails == told
    assert trails != told[:2]
    assert told[2] in trails
    assert hash(trails) == hash(tuple(told))
    assert pickle.loads(pickle.dumps(trails)) == trails
    assert provenance.lines(trails) == provenance.lines(told)
    for made in (trails, told):
        words, rest = provenance.parted(made, "Provenance")
        assert (list(words), list(rest)) == (told[2:], told[:2])


def test_threads_that_translate_at_once_give_what_one_gives(samples: Any) -> None:
    bodies = ["\r".join(samples[name]).encode() for name in ("admission", "result", "vaccination", "merge")]
    alone = [told(translate(body)) for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda at: told(translate(bodies[at % 4])), range(64))) == alone * 16


def told(translation: Translation) -> tuple[bytes, ...]:
    return (
        *(encode(change.resource or {}) for change in translation.changes),
        repr((translation.issues, tuple(translation.trail))).encode(),
    )
