"""The amount of one dose: a dosage has one, whoever tells it.

RXO, RXE and RXG tell what is given each time; TQ1-2 and TQ.1 how much of that at each interval. They are the same dose
in other words, never a further one: whoever adds up `doseAndRate` would give it twice. The amount of the RX segment
counts; another quantity stays in an extension, reported when it is more than "once".
"""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Converted, Draft, Leaf
from hawsepipe_hl7v2.extensions import PREFIX

SERVICE_QUANTITY = PREFIX + "service-quantity"
_DOSE = ("doseQuantity", "doseRange")
Home = tuple[str, dict[str, Any]]
"""The path and content of a dosage."""


def put(bench: Bench, draft: Draft, home: Home, told: dict[str, Any], leaves: list[Leaf]) -> None:
    """Write dose and rate of an RX segment; a quantity that a timing told before gives way to the dose."""
    path, content = home
    entry = content.setdefault("doseAndRate", [{}])[0]
    earlier = entry.get("doseQuantity")
    if earlier is not None and any(name in told for name in _DOSE):
        del entry["doseQuantity"]
        at = f"{path}.doseAndRate[0].doseQuantity"
        before = [leaf for place, found in draft.trail if place == at for leaf in found]
        draft.trail = [one for one in draft.trail if one[0] != at]
        entry.update(told)
        draft.trail.append((f"{path}.doseAndRate[0]", leaves))
        _beside(bench, draft, home, (earlier, before))
    elif "doseRange" in entry and any(name in told for name in _DOSE):
        content["doseAndRate"].append(told)
        draft.trail.append((f"{path}.doseAndRate[{len(content['doseAndRate']) - 1}]", leaves))
    else:
        entry.update(told)
        draft.trail.append((f"{path}.doseAndRate[0]", leaves))


def timed(bench: Bench, draft: Draft, home: Home, made: Converted) -> None:
    """Write the quantity of a timing: the dose where nothing else tells it, else beside it."""
    path, content = home
    entry = content.setdefault("doseAndRate", [{}])[0]
    if any(name in entry for name in _DOSE):
        _beside(bench, draft, home, made)
    else:
        entry["doseQuantity"] = made[0]
        draft.trail.append((f"{path}.doseAndRate[0].doseQuantity", list(made[1])))


def _beside(bench: Bench, draft: Draft, home: Home, made: Converted) -> None:
    path, content = home
    quantity, leaves = made
    entry = content["doseAndRate"][0]
    for name, dose in (
        ("doseQuantity", entry.get("doseQuantity")),
        ("doseRange.low", entry.get("doseRange", {}).get("low")),
    ):
        if dose is not None and _same(dose, quantity):
            draft.trail.append((f"{path}.doseAndRate[0].{name}", list(leaves)))
            return
    items = content.setdefault("extension", [])
    draft.trail.append((f"{path}.extension[{len(items)}].valueQuantity", list(leaves)))
    items.append({"url": SERVICE_QUANTITY, "valueQuantity": quantity})
    if quantity["value"] != 1 or "unit" in quantity:
        where = leaves[0][1]
        bench.warn(
            "mapping", where, "a quantity beside the dose, in other words or a multiple of it; kept beside the dose"
        )


def _same(dose: dict[str, Any], quantity: dict[str, Any]) -> bool:
    unit = [(one.get("code") or one.get("unit", "")).casefold() for one in (dose, quantity)]
    return bool(dose["value"] == quantity["value"]) and unit[0] == unit[1]
