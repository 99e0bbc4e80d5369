"""The expectations that a case may name, and when a measured fact meets one.

Every expectation is compared with a fact that was measured; one without a fact, or with a name that is not known here,
is a failure of the case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_METRIC = re.compile(r"(\w+)=(\d+(?:\.\d+)?)")


def _same(expected: Any, fact: Any) -> bool:
    # 1 == True, and a number that is a truth value is neither.
    return type(expected) is type(fact) and bool(expected == fact)


def _among(expected: Any, fact: Any) -> bool:
    return isinstance(expected, str) and expected in fact


def _values(expected: Any, fact: Any) -> bool:
    return (
        isinstance(expected, Mapping)
        and bool(expected)
        and all(value in fact.get(path, []) for path, value in expected.items())
    )


def _metric(expected: Any, fact: Any) -> bool:
    match = _METRIC.fullmatch(expected) if isinstance(expected, str) else None
    return match is not None and fact.get(match[1]) == float(match[2])


def _marked(expected: Any, fact: Any) -> bool:
    return expected is True and fact is True


KNOWN: Mapping[str, Callable[[Any, Any], bool]] = {
    "ack": _same,  # MSA-1 of each acknowledgement, in the order of arrival
    "ack_count": _same,
    "acked_lost": _same,  # messages that were acknowledged and have no effect
    "conn": _same,  # open or closed, when everything is answered
    "current": _same,
    "dlq": _same,  # dead letters that the case has made
    "effects": _same,  # transactions that its messages have caused
    "effects_resources": _same,
    "err": _among,  # a code of table 0357
    "flag": _among,
    "in_order": _same,
    "metric": _metric,
    "new_versions": _same,
    "order": _same,  # MSA-2 of each acknowledgement
    "security": _marked,  # a check of its own has looked at what the prose asks for
    "status": _same,
    "stored": _same,  # messages that were journalled and applied
    "value": _values,
}


def differences(expected: Mapping[str, Any], measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each expectation that is not met."""
    for key, wanted in expected.items():
        meets = KNOWN.get(key)
        if meets is None:
            yield f"this runner does not know the expectation {key}"
        elif key not in measured:
            yield f"{key} was not measured"
        elif not meets(wanted, measured[key]):
            yield f"{key}: expected {wanted!r}, found {measured[key]!r}"


def metric_names(expected: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics that a case asks for."""
    match = _METRIC.fullmatch(str(expected.get("metric", "")))
    return [match[1]] if match else []


def found(resource: Any, path: str) -> list[Any]:
    """Return the values at a dotted path of a resource, lists flattened (`name.family`)."""
    values = [resource]
    for name in path.split("."):
        values = [value[name] for value in values if isinstance(value, dict) and name in value]
        values = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return values
