"""What a change makes of the stored resource. The semantics are those of `model.Method` and `model.Change`."""

from __future__ import annotations

from typing import Any

from hawsepipe.errors import InvalidRequest
from hawsepipe.fhir.codec import encode
from hawsepipe.model import Change, Method, Resource

_KEPT = frozenset({"resourceType", "id"})
# The choice elements (value[x] and the like) at the top level of the R4 resources that are merged.
_CHOICES = ("abatement", "deceased", "effective", "multipleBirth", "occurrence", "onset", "performed", "value")


def merged(stored: Resource | None, change: Change) -> Resource:
    """Return the content after `change`; neither argument is altered.

    And merging the same change again gives the same content.

    CREATE and PUT: the resource of the change. MERGE: element by element (`stored` None: onto nothing); with an element
    `x` goes its `_x`, so a stale id or extension never stays beside a new value. `id` and `resourceType` are the
    change's. Raises InvalidRequest for DELETE or without a resource.
    """
    if change.method is Method.DELETE or change.resource is None:
        raise InvalidRequest("a change without a resource has no content")
    named: Resource = {"resourceType": change.type, "id": change.id}
    if change.method is not Method.MERGE:
        return named | change.resource | named
    before = stored or {}
    removed = _with_twins(change.remove) - _KEPT
    present = {_element(key) for key in before if key not in removed}
    given = {
        key: value
        for key, value in change.resource.items()
        if not (_plain(key) in change.keep and _element(key) in present)
    }
    replaced = {_element(key) for key in given if key not in change.union}
    result = {key: value for key, value in before.items() if key not in removed and _element(key) not in replaced}
    for key, value in given.items():
        if key in change.union and isinstance(value, list):
            result[key] = _joined(key, result.get(key), value)
        elif key in change.union and isinstance(value, dict):
            joined = result.get(key)
            result[key] = {**joined, **value} if isinstance(joined, dict) else value
        else:
            result[key] = value
    return named | result | named


def _with_twins(keys: frozenset[str] | set[str]) -> frozenset[str]:
    """Add to each primitive's name the name of its id and extensions (`birthDate`.

    `_birthDate`), and the other way round.
    """
    return frozenset(keys) | {key[1:] if key.startswith("_") else f"_{key}" for key in keys}


def _plain(key: str) -> str:
    return key[1:] if key.startswith("_") else key


def _element(key: str) -> str:
    """Return the element that a JSON key belongs to: `_birthDate` to `birthDate`, `deceasedBoolean` to `deceased[x]`."""
    plain = _plain(key)
    for choice in _CHOICES:
        if plain.startswith(choice) and plain[len(choice) :][:1].isupper():
            return f"{choice}[x]"
    return plain


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
            before = items[places[identity]]
            # What the given one does not say (an identifier's type or period) stays.
            items[places[identity]] = before | item if isinstance(item, dict) else item
        else:
            places[identity] = len(items)
            items.append(item)
    return items


def _identity(key: str, item: Any) -> object:
    if isinstance(item, dict):
        if key == "identifier" and isinstance(item.get("value"), str):
            return (item.get("system"), item["value"])
        if key == "link":
            target = item.get("other", item.get("target"))
            if isinstance(target, dict) and isinstance(target.get("reference"), str):
                return target["reference"]
    return encode({"": item})  # the JSON as it is, so 1.0 is not 1.00
