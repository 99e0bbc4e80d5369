"""XTN (and the older TN) to ContactPoint."""

from __future__ import annotations

from typing import Any

from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Leaf
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, PRIMITIVES

_PADDING = [""] * 18
_INTERNET = ("INTERNET", "X.400")
_STANDARD = "http://hl7.org/fhir/StructureDefinition/contactpoint-"
_OWN = "urn:hawsepipe:extension:"
_EXTENSIONS = (
    (4, _STANDARD + "country"),
    (5, _STANDARD + "area"),
    (6, _STANDARD + "local"),
    (7, _STANDARD + "extension"),
    (8, _STANDARD + "comment"),
    (9, _OWN + "extension-prefix"),
    (10, _OWN + "speed-dial"),
    (14, _OWN + "expiration-reason"),
    (15, _OWN + "protection-code"),
    (16, _OWN + "shared-telecommunication-identifier"),
)
_NARROWER = frozenset({"ORN", "VHN"})
"""Other and vacation homes: home in R4, with the narrower code beside it."""
_USES = "http://terminology.hl7.org/CodeSystem/v2-0201"
_EQUIPMENT = "http://terminology.hl7.org/CodeSystem/v2-0202"


def contact_point(use: str = "") -> Convert:
    """XTN to ContactPoint; `use` counts when XTN.2 tells none.

    The number is XTN.12 as formatted, else put together from XTN.5 to XTN.8, else XTN.1; an internet address is XTN.4.
    Parts without a number (an area, an extension) stay parts. What else the sender wrote (XTN.1 beside the parts,
    XTN.4 beside a number) stays in extensions.
    """

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        parts = bench.parts(raw)
        count = len(parts)
        if count < 18:
            parts = parts + _PADDING
        codes = bench.site.codes
        kind, role = parts[2], parts[1]
        internet = kind.upper() in _INTERNET or role.upper() == "NET" or (not kind and parts[3] and not parts[0])
        at = 3 if internet and parts[3] else 11 if parts[11] else 6 if parts[6] else 0
        text = _telephone(parts) if at == 6 else parts[at]
        if not text and at == 0 and parts[3]:
            at, text = 3, parts[3]
        if not text and not any(parts[4:10]):
            return None
        value: dict[str, Any] = {}
        leaves: list[Leaf] = []
        known = codes["TelecommunicationEquipmentType"]["codes"].get(kind)
        value["system"] = "email" if internet else known or ("other" if kind else "email" if "@" in text else "phone")
        if kind:
            leaves.append((".system", f"{where}.3"))
            if known is None:
                value["_system"] = _beside(_EQUIPMENT, kind)
        if text:
            value["value"] = text
            leaves.append((".value", f"{where}.{at + 1}"))
        _used(codes["TelecommunicationUseCode"]["codes"], kind, role, use, value, leaves, where)
        if count > 12:
            _dated(bench, parts, value, leaves, where)
        extensions: list[dict[str, Any]] = []
        for index, url in _EXTENSIONS:
            if index >= count:
                break
            if parts[index]:
                leaves.append((f".extension[{len(extensions)}].valueString", f"{where}.{index + 1}"))
                extensions.append({"url": url, "valueString": " ".join(parts[index].split(bench.subcomponent))})
        for index, name in ((0, "telephone-as-sent"), (3, "communication-address")):
            if index != at and parts[index] and not _told(parts[index], text):
                leaves.append((f".extension[{len(extensions)}].valueString", f"{where}.{index + 1}"))
                extensions.append({"url": _OWN + name, "valueString": parts[index]})
        if extensions:
            value["extension"] = extensions
        return value, leaves

    return convert


def _used(
    known: dict[str, str], kind: str, role: str, use: str, value: dict[str, Any], leaves: list[Leaf], where: str
) -> None:
    """Write the use, with a code of XTN.2 that R4 has no use for beside it."""
    told = "mobile" if kind == "CP" or role == "PRS" else known.get(role, "")
    if told or use:
        value["use"] = told or use
    if not role:
        return
    if known.get(role) is None or role in _NARROWER:
        value["_use"] = _beside(_USES, role)
        leaves.append(("._use.extension[0].valueCodeableConcept.coding[0].code", f"{where}.2"))
    else:
        leaves.append((".use", f"{where}.2"))


def _dated(bench: Bench, parts: list[str], value: dict[str, Any], leaves: list[Leaf], where: str) -> None:
    """Write XTN.13 and XTN.14 as the period, XTN.18 as the rank."""
    for index, name in ((12, "start"), (13, "end")):
        if parts[index] and (made := PRIMITIVES["dateTime"](bench, parts[index], f"{where}.{index + 1}")):
            twinned = getattr(made[0], "extension", None)
            content = made[0].value if twinned else made[0]
            period = value.setdefault("period", {})
            if twinned:
                period[f"_{name}"] = {"extension": [twinned]}
            if content is not None:
                period[name] = content
            leaves.append((f".period.{name if content is not None else f'_{name}'}", f"{where}.{index + 1}"))
    if parts[17] and (rank := PRIMITIVES["positiveInt"](bench, parts[17], f"{where}.18")):
        value["rank"] = rank[0]
        leaves.append((".rank", f"{where}.18"))


def _beside(system: str, code: str) -> dict[str, Any]:
    coding = {"system": system, "code": " ".join(code.split())}
    return {"extension": [{"url": ALTERNATE_CODES, "valueCodeableConcept": {"coding": [coding]}}]}


def _told(sent: str, text: str) -> bool:
    """Whether a value says no more than another: the same text, or the same digits of a number."""
    digits = _digits(sent)
    return sent in text or (len(digits) > 6 and "@" not in sent and digits in _digits(text))


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter in "0123456789")


def _telephone(parts: list[str]) -> str:
    country = f"+{parts[4].lstrip('+')}" if parts[4] else ""
    extension = f"X{parts[7]}" if parts[7] else ""
    return " ".join(part for part in (country, parts[5], parts[6], extension) if part)
