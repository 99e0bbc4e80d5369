"""Converters of v2 data types that need a decision; plain moves are in `hl7v2/datatypes/`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

from hawsepipe_hl7v2 import leftovers
from hawsepipe_hl7v2.authorities import assigner, authority
from hawsepipe_hl7v2.bench import Bench, Convert, Converted, Leaf
from hawsepipe_hl7v2.paths import Twinned
from hawsepipe_hl7v2.primitives import ALTERNATE_CODES, ORIGINAL_TEXT, first, named, number
from hawsepipe_hl7v2.telecom import contact_point

_MIME = re.compile(r"[\w.+-]+/[\w.+-]+")
_COMPARATORS = frozenset({"<", "<=", ">=", ">"})
_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"


def concept(table: str = "") -> Convert:
    """CE, CWE, CNE, CF, IS or ID to CodeableConcept, with up to three codings.

    With a table its target coding comes first and the sender's own coding stays; an unmapped code is reported.
    """

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        made = bench.site.codings.of(table, bench.parts(raw))
        for severity, cause, at, text in made.findings:
            bench.issue(severity, cause, where + at, text)
        if made.names:
            named(bench, made.names, where)
        value = made.value()
        return (value, [(below, where + at) for below, at in made.leaves]) if value else None

    return convert


def coding(table: str) -> Convert:
    """A code to Coding by a table; an unmapped one keeps its v2 code and system and is reported."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        text = first(bench, raw)
        if not text:
            return None
        entry = bench.site.codes[table]
        target = entry["codes"].get(text.upper())
        if target is None:
            if text not in entry.get("untranslated", ()):
                bench.warn("code", where, f"a code of {entry['source']} that table {table} does not map; kept as it is")
            return _sent(bench, raw, where, entry["source"])
        system, _, code = target.rpartition("|")
        told = {"system": system or entry["system"], "code": code}
        sent = _sent(bench, raw, where, entry["source"])
        return sent if told.items() <= sent[0].items() else (told, [(".code", where)])

    return convert


def _sent(bench: Bench, raw: str, where: str, source: str) -> Converted:
    """Return the first coding of a CWE as it was sent."""
    made = bench.site.codings.of("", bench.parts(raw))
    named(bench, made.names, where)
    coding = {"system": source} | made.value()["coding"][0]
    leaves = [(below[len(".coding[0]") :], where + at) for below, at in made.leaves if below.startswith(".coding[0]")]
    return coding, leaves


def typed(table: str) -> Convert:
    """A code to a CodeableConcept with one coding in a fixed system, unchanged (identifier types)."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        text = " ".join(first(bench, raw).split())  # FHIR allows only single white space in a code
        system = bench.site.codes[table]["system"]
        return ({"coding": [{"system": system, "code": text}]}, [(".coding[0].code", where)]) if text else None

    return convert


def street(bench: Bench, raw: str, where: str) -> Converted | None:
    """SAD to one address line: the street address, else number and street name."""
    parts = [*bench.parts(raw), "", "", ""]
    line = parts[0] or " ".join(part for part in (parts[2], parts[1]) if part)
    return (line, [("", where)]) if line else None


def words(bench: Bench, raw: str, where: str) -> Converted | None:
    """Return a component with parts as one text, its parts joined by spaces."""
    text = " ".join(part for part in bench.parts(raw) if part)
    return (text, [("", where)]) if text else None


def coded_text(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE (or the older IS) to text: as written, else the display, else the code; a code beside a text stays in an
    extension."""
    parts = [*bench.parts(raw), *[""] * 9]
    text = parts[8] or parts[1] or parts[0]
    if not text:
        return None
    if not parts[0] or text == parts[0]:
        return text, [("", where)]
    coded = bench.site.codings.of("", bench.parts(raw)).value()
    return Twinned(text, {"url": ALTERNATE_CODES, "valueCodeableConcept": coded}), [("", where)]


def address_type(bench: Bench, raw: str, where: str) -> Converted | None:
    """XAD.7 as it is when R4 has neither a use nor a type for it."""
    text = first(bench, raw)
    tables = bench.site.codes
    if any(text in tables[name]["codes"] for name in ("AddressType", "AddressUse", "AddressExtraUse")):
        return None
    coding = {"system": tables["AddressType"]["source"], "code": " ".join(text.split())}
    return ({"coding": [coding]}, [(".coding[0].code", where)]) if text else None


def licence_authority(bench: Bench, raw: str, where: str) -> Converted | None:
    """DLN.2 (table 0333) to the URI of the numbers of that licensing authority."""
    text = first(bench, raw)
    return (bench.naming.authority(text, "", ""), [("", where)]) if text else None


def nickname(bench: Bench, raw: str, where: str) -> Converted | None:
    """XPN.15, by which a person is called, to a HumanName of that use."""
    text = bench.text(raw)
    return ({"use": "nickname", "given": [text]}, [(".given[0]", where)]) if text else None


def quantity_unit(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to the unit parts of a Quantity: the code and system when both are told, the unit always."""
    if not raw:
        return None
    parts = bench.parts(raw)
    value, leaves, fault = bench.site.codings.unit(parts)
    if fault:
        bench.warn("parse", where, fault)
    if len(parts) > 2 and parts[2] and "system" in value and parts[2].casefold() not in value["system"]:
        named(bench, ((parts[2], ".3"),), where)
    return (value.copy(), [(below, where + at) for below, at in leaves]) if value else None


def structured_numeric(bench: Bench, raw: str, unit: dict[str, Any]) -> tuple[str, Any] | None:
    """SN to the value element's suffix (`Quantity`, `Range`, `Ratio`, `String`) and its value; None when it is
    empty."""
    parts = [*bench.parts(raw), "", "", "", ""]
    comparator, low, separator, high = parts[:4]
    left, right = number(low) if low else None, number(high) if high else None
    comparator = "" if comparator == "=" else comparator
    told = " ".join(part for part in parts[:4] if part)
    original = {"extension": [{"url": ORIGINAL_TEXT, "valueString": told}]}
    if left is not None and separator == "-" and right is not None and not comparator:
        return "Range", original | {"low": {"value": left} | unit, "high": {"value": right} | unit}
    if left is not None and separator in (":", "/") and right is not None and comparator in ("", *_COMPARATORS):
        numerator = ({"comparator": comparator} if comparator else {}) | {"value": left} | unit
        return "Ratio", original | {"numerator": numerator, "denominator": {"value": right} | unit}
    if left is not None and not separator and not high and comparator in ("", *_COMPARATORS):
        return "Quantity", ({"comparator": comparator} if comparator else {}) | {"value": left} | unit
    text = " ".join(part for part in (*parts[:4], unit.get("unit", "")) if part)
    return ("String", text) if text else None


def attachment(bench: Bench, raw: str, where: str) -> Converted | None:
    """ED to Attachment: the data as Base64, whatever their encoding was.

    Data that are not in the encoding that ED.4 tells are kept as they were sent, as bytes of no type, and reported.
    """
    parts = [*raw.split(bench.message.delimiters.component), "", "", "", "", ""]
    kind, subtype, encoding = (bench.text(part) for part in parts[1:4])
    delimiters = bench.message.delimiters
    # Base64 contains none of the delimiters, so data of a wrong encoding may have been cut at a `^`.
    data = delimiters.component.join(parts[4:]).rstrip(delimiters.component)
    leaves: list[Leaf] = [(".data", f"{where}.5")]
    value: dict[str, Any] = {}
    mime = _mime(kind, subtype)
    if mime:
        value["contentType"] = mime
        leaves.append((".contentType", f"{where}.3"))
    try:
        if encoding.upper() == "BASE64":
            clean = "".join(bench.text(data).split())
            base64.b64decode(clean, validate=True)
            if len(clean) % 4:
                raise ValueError  # padding too many, which Python lets pass
            value["data"] = clean
        elif encoding.upper() == "HEX":
            value["data"] = base64.b64encode(bytes.fromhex(bench.text(data))).decode()
        else:
            value["data"] = base64.b64encode(bench.text(data).encode()).decode()
    except (binascii.Error, ValueError):
        bench.warn("parse", f"{where}.5", "the data are not in the encoding that ED.4 tells; kept as they were sent")
        value |= {"contentType": "application/octet-stream"}
        value["data"] = base64.b64encode(bench.text(data).encode()).decode()
    for at, told in ((1, True), (2, not mime or kind.casefold() not in mime)):
        # The source application, and the kind of data where it makes no type of content.
        if told and (written := leftovers.component(bench, f"ED.{at}", parts[at - 1], value)) is not None:
            leaves.append((f".{written}", f"{where}.{at}"))
    return (value, leaves) if value["data"] else None


def pointer(bench: Bench, raw: str, where: str) -> Converted | None:
    """RP to Attachment."""
    parts = [*bench.parts(raw), "", "", "", ""]
    if not parts[0]:
        return None
    value = {"url": "".join(parts[0].split())}
    mime = _mime(parts[2], parts[3])
    leaves: list[Leaf] = [(".url", f"{where}.1")]
    if mime:
        value["contentType"] = mime
        leaves.append((".contentType", f"{where}.3"))
    for at in (2, 3):
        if at == 3 and parts[2].casefold() in mime:
            continue
        if (written := leftovers.component(bench, f"RP.{at}", parts[at - 1], value)) is not None:
            leaves.append((f".{written}", f"{where}.{at}"))
    return value, leaves


_KINDS = {"AP": "application", "AU": "audio", "FT": "text", "IM": "image", "NS": "application", "SD": "image"}
_KINDS |= {"SI": "image", "TEXT": "text", "TX": "text"}
"""Table 0191; scanned documents (SD) and images (SI) are images, what is not scanned (NS) is an application's."""


def _mime(kind: str, subtype: str) -> str:
    """Return a MIME type of tables 0191 and 0291, empty when the parts make none."""
    known = {
        "PDF": "application/pdf",
        "JPEG": "image/jpeg",
        "PNG": "image/png",
        "RTF": "application/rtf",
        "HTML": "text/html",
    }
    if "/" in subtype and _MIME.fullmatch(subtype):
        return subtype
    if subtype.upper() in known:
        return known[subtype.upper()]
    group = _KINDS.get(kind.upper(), kind.lower())
    joined = f"{group}/{subtype.lower()}"
    return joined if kind and subtype and _MIME.fullmatch(joined) else ""


def entity_identifier(bench: Bench, raw: str, where: str, target: dict[str, Any]) -> list[Leaf]:
    """EI to Identifier: the number with the system of its authority, or of the sending facility."""
    parts = [*bench.parts(raw), "", "", "", ""]
    # Its components 2 to 4 are an HD.
    if not parts[0]:
        return []
    system = bench.naming.authority(parts[1], parts[2], parts[3])
    target["system"] = system or bench.facility
    target["value"] = parts[0]
    told = 2 if parts[1] else 3
    leaves = [(".value", f"{where}.1"), *([(".system", f"{where}.{told}")] if system else [])]
    if parts[2] or parts[3]:
        named = assigner(bench, bench.component.join(raw.split(bench.component)[1:4]), f"{where}.2")
        if named is not None:
            target["assigner"] = named[0]
            leaves += [(f".assigner{below}", source) for below, source in named[1]]
    return leaves


def coded_identifier(bench: Bench, raw: str, where: str) -> Converted | None:
    """CWE to Identifier: the code as value in its coding system; its text stays beside it."""
    parts = [*bench.parts(raw), "", "", ""]
    if not parts[0]:
        return None
    system = bench.naming.coding_system(parts[2]) or bench.facility
    value: dict[str, Any] = {"system": system, "value": parts[0]}
    leaves: list[Leaf] = [(".value", f"{where}.1")]
    if parts[1] and (written := leftovers.component(bench, "CWE.2", parts[1], value)) is not None:
        leaves.append((f".{written}", f"{where}.2"))
    return value, leaves


def degree(bench: Bench, raw: str, where: str) -> Converted | None:
    """XCN.7 (table 0360) to Practitioner.qualification."""
    text = first(bench, raw)
    system = bench.site.codes["Degree"]["system"]
    return (
        ({"code": {"coding": [{"system": system, "code": text}]}}, [(".code.coding[0].code", where)]) if text else None
    )


def numbered(type_: str) -> Convert:
    """A number to an Identifier of a type of table 0203."""

    def convert(bench: Bench, raw: str, where: str) -> Converted | None:
        text = first(bench, raw)
        kind = {"coding": [{"system": _TYPES, "code": type_}]}
        return ({"type": kind, "value": text}, [(".value", where)]) if text else None

    return convert


def insurance_group(bench: Bench, raw: str, where: str) -> Converted | None:
    """A group number to Coverage.class."""
    text = first(bench, raw)
    system = "http://terminology.hl7.org/CodeSystem/coverage-class"
    kind = {"coding": [{"system": system, "code": "group"}]}
    return ({"type": kind, "value": text}, [(".value", where)]) if text else None


FILLS = {"EI": entity_identifier}
"""Data types that fill an object in code, beside those of the tables."""
DATATYPES: dict[str, Convert] = {
    "CodeableConcept": concept(),
    "authority": authority,
    "Assigner": assigner,
    "street": street,
    "ContactPoint": contact_point(),
    "words": words,
    "CodedText": coded_text,
    "AddressType": address_type,
    "licenceAuthority": licence_authority,
    "Nickname": nickname,
    "QuantityUnit": quantity_unit,
    "Attachment": attachment,
    "AttachmentPointer": pointer,
    "CodedIdentifier": coded_identifier,
    "Degree": degree,
    "InsuranceGroup": insurance_group,
}
"""Converters by the name that `via` uses."""
PARAMETERS: dict[str, Callable[[str], Convert]] = {
    "CodeableConcept": concept,
    "Coding": coding,
    "typed": typed,
    "ContactPoint": contact_point,
    "numbered": numbered,
}
"""Converters that take a parameter: `CodeableConcept:MaritalStatus`."""
