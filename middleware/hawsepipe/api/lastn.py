"""$lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from hawsepipe.api.call import Call
from hawsepipe.api.codes import knowing
from hawsepipe.api.exchange import Response
from hawsepipe.api.inputs import inputs
from hawsepipe.api.parts import NAMES, cut, wanted
from hawsepipe.api.rendering import resource
from hawsepipe.errors import InvalidRequest, TooLarge
from hawsepipe.fhir import bundle, codec
from hawsepipe.fhir.query import Kind, Sort
from hawsepipe.model import Resource, Version

_PAGE: Final = 500
_MOST: Final = 100_000
"""Observations that are looked at for one answer."""

_SUBJECTS: Final = frozenset({"patient", "subject"})
_ABOUT: Final = frozenset({"category", "code"})


async def lastn(call: Call) -> Response:
    """Answer with the last `max` (1 unless told) Observations of each code, newest first, of what a search would give.

    Codes with a coding in common are one code; without codings their texts count. A patient or subject is needed, and
    a category or code, as the specification says.
    """
    given = inputs(call, None)
    most = given.number("max", least=1) or 1
    criteria = [pair for pair in given.texts if pair[0] not in {"max", *NAMES}]
    names = {name.partition(":")[0].partition(".")[0] for name, _ in criteria}
    if not names & _SUBJECTS or not names & _ABOUT:
        raise InvalidRequest("the operation needs a patient or subject, and a category or code", location="parameter")
    parsed = (await knowing(call, criteria)).parse("Observation", criteria, call.preference.strict)
    query = replace(parsed.query, sort=(Sort("date", Kind.DATE, descending=True),), count=_PAGE)
    groups = _Groups(most)
    seen = 0
    while True:
        page = await call.view.search(query)
        for version in page.versions:
            groups.take(version)
        seen += len(page.versions)
        if page.next is None:
            break
        if seen >= _MOST:
            raise TooLarge(f"there are more than {_MOST} Observations to choose from", location="parameter")
        query = replace(query, cursor=page.next)
    found = groups.chosen()
    used = [*parsed.used, *(pair for pair in given.texts if pair[0] in {"max", *NAMES})]
    links = {"self": f"{call.services.base_url}/Observation/$lastn?{urlencode(used)}"}
    shown = cut(found, wanted(given.texts))
    made = bundle.searchset(
        shown, base_url=call.services.base_url, links=links, total=len(found), issues=parsed.ignored
    )
    return resource(made, call.format)


class _Groups:
    """The newest versions of each code; what comes first is newest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of: dict[str, list[tuple[int, Version]]] = {}
        self._taken = 0

    def take(self, version: Version) -> None:
        """Put a version to those of its code; one with two codes makes them one."""
        names = list(_names(codec.decode(version.content or b"{}")))
        held = {id(self._of[name]): self._of[name] for name in names if name in self._of}
        group = next(iter(held.values()), [])
        for other in list(held.values())[1:]:
            group += other
            names += [name for name, it in self._of.items() if it is other]
        group.append((self._taken, version))
        group.sort(key=lambda it: it[0])
        del group[self._most :]
        self._of.update(dict.fromkeys(names, group))
        self._taken += 1

    def chosen(self) -> list[Version]:
        """Return what was kept, code by code, that of the newest Observation first."""
        groups = {id(group): group for group in self._of.values()}
        return [version for group in sorted(groups.values(), key=lambda it: it[0][0]) for _, version in group]


def _names(observation: Resource) -> Iterable[str]:
    """Yield what an Observation's code goes by; without any it goes by nothing, together with others like it."""
    code: Any = observation.get("code")
    codings = code.get("coding") if isinstance(code, dict) else None
    coded = [it for it in codings or () if isinstance(it, dict) and "code" in it]
    for coding in coded:
        yield f"{coding.get('system', '')}|{coding['code']}"
    if not coded:
        yield f"text {code.get('text', '') if isinstance(code, dict) else ''}"
