"""Invariants of profiles, evaluated by fhirpathpy as far as that is safe for expressions that a client has stored.

What may take without end (regular expressions, repetition), what is very long and what the library does not know is not
evaluated: the caller says so. https://hl7.org/fhirpath/N1
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final

from fhirpathpy import compile as compiled
from fhirpathpy.models import models

from hawsepipe.model import Resource

_LONGEST: Final = 1_000
_ENDLESS: Final = re.compile(
    r"\b(matches|matchesFull|replaceMatches|repeat|aggregate|trace|resolve|memberOf|htmlChecks)\b"
)
_WIDE: Final = re.compile(r"\b(descendants|children)\b")


def holds(expression: str, element: Any, resource: Resource) -> bool | None:
    """Say whether an invariant holds on an element of a resource; None when that cannot be said here."""
    evaluate = _evaluator(expression)
    if evaluate is None:
        return None
    try:
        found = evaluate(element, {"resource": resource, "rootResource": resource, "context": element})
    except Exception:  # whatever the library raises, it is no finding about the resource
        return None
    if not isinstance(found, list):
        return None
    # An empty result is no true one, and an invariant has to be true; of several values none is.
    return found == [True] if len(found) < 2 else None


@functools.lru_cache(maxsize=2048)
def _evaluator(expression: str) -> Callable[[Any, dict[str, Any]], Any] | None:
    if len(expression) > _LONGEST or _ENDLESS.search(expression) or len(_WIDE.findall(expression)) > 1:
        return None
    try:
        found: Callable[[Any, dict[str, Any]], Any] = compiled(expression, models["r4"])
    except Exception:  # not an expression, for all that the library knows
        return None
    return found
