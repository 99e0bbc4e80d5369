"""What a change makes of the stored resource. The semantics are those of `model.Method` and `model.Change`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import encode
from hawsepipe.fhir.definitions import load
from hawsepipe.model import Change, Method, Resource

_KEPT = frozenset({"resourceType", "id"})
_BY_IDENTITY = frozenset({"extension", "link"})
"""Lists whose removed items are named by what they are alone."""
_ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"
_OPEN = frozenset({"registered", "preliminary"})
_SETTLED = frozenset({"final", "amended", "corrected"})
_KIND = re.compile(r"(\w+)(!?)=(.*)")


def merged(stored: Resource | None, change: Change) -> Resource:
    """Return the content after `change`; merging the same change again gives the same content.

    CREATE and PUT: the resource of the change. MERGE: element by element (`stored` None: onto nothing); with an element
    `x` goes its `_x`, so a stale id or extension never stays beside a new value. A value of which nothing but the text
    that was sent is told (data-absent-reason and originalText) leaves a stored value, and stands beside it. `id` and
    `resourceType` are the change's. Neither argument is altered. Raises InvalidRequest for DELETE or without a
    resource.
    """
    if change.method is Method.DELETE or change.resource is None:
        raise InvalidRequest("a change without a resource has no content")
    named: Resource = {"resourceType": change.type, "id": change.id}
    if stored is not None and leaves(change):
        return named | stored | named
    if change.method is not Method.MERGE:
        return named | change.resource | named
    names = _elements(change.type)
    before = _without_parts(stored or {}, [key for key in change.remove if key[-1] == "]" or "." in key])
    removed = {_element(names, key) for key in change.remove} - _KEPT
    given = change.resource
    filled: Resource = {}
    if change.keep:
        present = {_element(names, key) for key in before} - removed
        kept = {_element(names, key) for key in change.keep} & present
        filled = {key: given[key] for key in change.union & change.keep & given.keys() & before.keys()}
        given = {key: value for key, value in given.items() if _element(names, key) not in kept}
    given = _heard(names, {key: held for key, held in before.items() if _element(names, key) not in removed}, given)
    # One of a choice replaces another (deceasedBoolean, deceasedDateTime), a value replaces the old one's extensions.
    gone = removed | {_element(names, key) for key in given if key not in change.union}
    result = {key: value for key, value in before.items() if _element(names, key) not in gone}
    for key, value in given.items():
        held = result.get(key)
        if key in change.union and isinstance(value, list):
            result[key] = _joined(key, held, value)
        elif key in change.union and isinstance(value, dict) and isinstance(held, dict):
            result[key] = held | _heard({}, held, value)
        else:
            result[key] = value
    for key, value in filled.items():
        result[key] = _filled(key, result[key], value)
    return named | result | named


def _heard(names: Mapping[str, str], before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is given, where a value that nobody could read leaves the stored one, and its text beside it."""
    heard = dict(given)
    told = {_element(names, key) for key in given if key[0] != "_"}
    for key, twin in given.items():
        element = _element(names, key)
        if key[0] != "_" or element in told or (text := _unreadable(twin)) is None:
            continue
        stored = {name: value for name, value in before.items() if _element(names, name) == element}
        value = next((name for name in stored if name[0] != "_"), None)
        if value is not None:
            del heard[key]
            beside = stored.get(f"_{value}")
            beside = beside if isinstance(beside, dict) else {}
            others = [one for one in beside.get("extension", ()) if one.get("url") != _ORIGINAL_TEXT]
            heard |= stored | {f"_{value}": beside | {"extension": [*others, text]}}
    return heard


def _unreadable(twin: Any) -> dict[str, Any] | None:
    """Return the extension with the text that was sent in place of a value, where that is all that is told."""
    extensions = twin.get("extension") if isinstance(twin, dict) else None
    if not isinstance(extensions, list) or not all(isinstance(one, dict) for one in extensions):
        return None
    found: dict[str, dict[str, Any]] = {str(one.get("url")): one for one in extensions}
    return found[_ORIGINAL_TEXT] if found.keys() == {_ABSENT, _ORIGINAL_TEXT} else None


def leaves(change: Change) -> bool:
    """Say whether a change leaves alone whatever there is, or was."""
    return change.method is Method.MERGE and "resourceType" in change.keep


def joins_to_itself(key: str, value: Any) -> bool:
    """Whether a list that is joined (`Change.union`) to none is the list as it is given: no two items of it are one."""
    return (
        not isinstance(value, list) or len(value) < 2 or encode({"": _joined(key, None, value)}) == encode({"": value})
    )


def speaks(change: Change) -> bool:
    """Whether a change tells what a resource is to show; one that only fills in or adds to lists does not."""
    if change.method is not Method.MERGE:
        return True
    return bool(change.remove) or bool((change.resource or {}).keys() - change.keep - change.union - _KEPT)


def preliminary(change: Change) -> bool:
    """Whether a change tells a result that is not final."""
    return change.type == "Observation" and (change.resource or {}).get("status") in _OPEN


def falls_back(stored: Resource, change: Change) -> bool:
    """Whether a change that is `preliminary` would undo a final result. A result that was reported as final can be
    changed by a correction or withdrawn only (HL7 v2, table 0085, F); one of another time is another result.
    """
    told = change.resource or {}
    if stored.get("status") not in _SETTLED:
        return False
    when = {key: value for key, value in told.items() if key.lstrip("_").startswith("effective")}
    return all(stored.get(key) == value for key, value in when.items())


def given_way(change: Change) -> Change | None:
    """Return what is left of a change when something newer is known: a merge fills in what is missing.

    Nothing is left of a whole resource: two states of a result would be mixed.
    """
    if change.method is not Method.MERGE:
        return None
    if leaves(change):
        return change
    # A list of which only some items would have been replaced is not filled up with what was true before.
    partly = {part.partition("[")[0] for part in change.remove if part[-1] == "]"} - _BY_IDENTITY
    keep = frozenset(change.resource or ()) - _KEPT
    return replace(change, remove=frozenset(), union=change.union - partly, keep=keep)


def _without_parts(stored: Resource, parts: list[str]) -> Resource:
    """Return a resource without parts of its objects and items of its lists; an object or list of nothing goes too."""
    for part in parts:
        name, _, below = part.partition("[") if part[-1] == "]" else part.partition(".")
        held = stored.get(name)
        left: Any = held
        if part[-1] == "]" and isinstance(held, list):
            match = _KIND.fullmatch(below[:-1]) if name not in _BY_IDENTITY else None
            if match is not None:
                left = [item for item in held if _tells(item, match[1], match[3]) == bool(match[2])]
            else:
                left = [item for item in held if _named(name, item) != below[:-1]]
        elif part[-1] != "]" and isinstance(held, dict):
            left = {key: value for key, value in held.items() if key.removeprefix("_") != below}
        if left != held:
            stored = {key: value for key, value in stored.items() if key != name} | ({name: left} if left else {})
    return stored


def _tells(item: Any, key: str, value: str) -> bool:
    """Whether a part of an item has a value: a code as it is, a concept by one of its codings, the `type` of a
    reference by what it refers to."""
    if not isinstance(item, dict):
        return False
    if key == "type" and isinstance(item.get("reference"), str):
        return bool(item["reference"].partition("/")[0] == value)
    found = item.get(key)
    concepts = found if isinstance(found, list) else [found]
    codings = [coding for one in concepts if isinstance(one, dict) for coding in one.get("coding", ())]
    return value in concepts or any(coding.get("code") == value for coding in codings)


def _named(key: str, item: Any) -> object:
    """Return the identity of an item as `Change.remove` writes it: an extension's url, a link's target."""
    if key == "extension" and isinstance(item, dict):
        return item.get("url")
    return _identity(key, item)


@functools.cache
def _elements(kind: str) -> Mapping[str, str]:
    """Return the element of each key of a type: `deceased[x]` for `deceasedBoolean` and `_deceasedBoolean`."""
    definitions = load()
    shape = definitions.shape(kind) if kind in definitions.resource_types else {}
    return {sign + key: held.element for key, held in shape.items() for sign in ("", "_")}


def _element(names: Mapping[str, str], key: str) -> str:
    return names.get(key) or key.removeprefix("_")


def _joined(key: str, stored: Any, given: list[Any]) -> list[Any]:
    """Join two lists: a given item is laid over the stored one of the same identity, or comes after all."""
    items = list(stored) if isinstance(stored, list) else []
    if key == "extension":
        # An url may repeat, so all of one url give way together.
        urls = {item.get("url") for item in given if isinstance(item, dict)}
        return [item for item in items if not (isinstance(item, dict) and item.get("url") in urls)] + given
    places = {_identity(key, item): place for place, item in reversed(list(enumerate(items)))}
    for item in given:
        identity = _identity(key, item)
        if identity in places:
            items[places[identity]] = _laid(items[places[identity]], item) if isinstance(item, dict) else item
        else:
            places[identity] = len(items)
            items.append(item)
    return items


def _filled(key: str, stored: Any, given: Any) -> Any:
    """Return what is stored with what it lacks of an object or a list; nothing that is there is altered."""
    if isinstance(stored, dict) and isinstance(given, dict):
        return given | stored
    if not isinstance(stored, list) or not isinstance(given, list):
        return stored
    if key == "extension":
        urls = {item.get("url") for item in stored if isinstance(item, dict)}
        return stored + [item for item in given if not (isinstance(item, dict) and item.get("url") in urls)]
    known = {_identity(key, item) for item in stored}
    return stored + [item for item in given if _identity(key, item) not in known]


def _laid(before: Any, item: dict[str, Any]) -> dict[str, Any]:
    """Return what the given item says, and of the stored one what it does not say (an identifier's type or period)."""
    said = {key.removeprefix("_") for key in item}
    return {key: value for key, value in before.items() if key.removeprefix("_") not in said} | item


def _identity(key: str, item: Any) -> object:
    if isinstance(item, dict):
        if key == "identifier" and isinstance(item.get("value"), str):
            return (item.get("system"), item["value"])
        if key == "link":
            target = item.get("other", item.get("target"))
            if isinstance(target, dict) and isinstance(target.get("reference"), str):
                return target["reference"]
        if key == "participant":
            actor = item.get("actor")
            if isinstance(actor, dict) and isinstance(actor.get("reference"), str):
                return actor["reference"]
        if key == "serviceType":
            codings = item.get("coding")
            first = codings[0] if isinstance(codings, list) and codings else None
            if isinstance(first, dict) and isinstance(first.get("code"), str):
                return (str(first.get("system")), first["code"])
    return encode({"": item})  # the JSON as it is, so 1.0 is not 1.00
