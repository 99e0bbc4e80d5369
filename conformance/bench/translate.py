"""Messages a second of parsing and translating v2, beside hl7apy's parser and a naive split.

Run it by hand: python conformance/bench/translate.py. CPU time of one process on one core; ratios travel better
than numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from hawsepipe import RawMessage
from hawsepipe.fhir.codec import encode
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.reference import fields
from hawsepipe_hl7v2.translator import Hl7v2Translator

_PV1 = "PV1|1|I|W1^101^A^HOSP^^^MAIN^3||||D77^WELBY^MARCUS^^^DR^^^GOOD|D78^HOUSE^GREG^^^DR^^^GOOD||MED" + "|" * 9
ADT = (
    "MSH|^~\\&|ADT1|GOOD|HP|HUB|20260301083000+0000||ADT^A01^ADT_A01|M0001|P|2.5.1\r"
    "EVN|A01|20260301083000+0000||||20260301082500+0000\r"
    "PID|1|OLD7^^^GOOD^PI|MRN1^^^GOOD^MR~4711^^^&2.16.840.1.113883.3.77&ISO^PT~900000001^^^SSA^SS||DOE^JANE^Q^^MRS^^L"
    "~ROE^JANE^^^^^M||19800101|F||2106-3^White^HL70005|1 MAIN ST^APT 2^TOWN^ST^12345^USA^H"
    "~9 OLD RD^^VILLAGE^ST^54321^USA^BA"
    "||^PRN^PH^^1^555^5551212~^NET^Internet^jane@example.org|^WPN^PH^^^555^5550000|EN^English^HL70296|M|CAT|ACC9^^^GOOD^AN"
    "||||2186-5^Not Hispanic^HL70189|TOWN|N||||||N\r"
    "PD1|||TOWN PRACTICE^^99|D77^WELBY^MARCUS^^^DR^^^GOOD\r"
    "NK1|1|DOE^JOHN^A|SPO^Spouse^HL70063|1 MAIN ST^APT 2^TOWN^ST^12345|^PRN^PH^^^555^5551213||EP^Emergency^HL70131\r"
    f"{_PV1}V1^^^GOOD^VN{'|' * 25}20260301082500+0000\r"
    "PV2|||CHF^Heart failure^L|||||20260301|20260305\r"
    "AL1|1|DA^Drug allergy^HL70127|PEN^Penicillin^L|SV^Severe^HL70128|HIVES~RASH\r"
    "AL1|2|FA^Food allergy^HL70127|PNUT^Peanut^L|MO^Moderate^HL70128|SWELLING\r"
    "DG1|1||I50.9^Heart failure, unspecified^I10C||20260301|A|||||||||1\r"
)
ORU = (
    "MSH|^~\\&|LAB|GOOD|HP|HUB|20260301101500+0000||ORU^R01^ORU_R01|M0002|P|2.5.1\r"
    "PID|1||MRN1^^^GOOD^MR||DOE^JANE||19800101|F\r"
    "ORC|RE|P1^OE|F1^LAB||CM\r"
    "OBR|1|P1^OE|F1^LAB|24323-8^Comprehensive metabolic panel^LN|||20260301100000+0000|||||||||D77^WELBY^MARCUS"
    "||||||20260301101400+0000||CH|F\r"
    + "".join(
        f"OBX|{number}|NM|{2000 + number}-1^Analyte {number}^LN||{number}.40|mmol/L^^UCUM|3.9-5.6|N|||F"
        "|||20260301100000+0000\r"
        for number in range(1, 31)
    )
    + "NTE|1||Checked twice\r"
)


def naive(text: str) -> object:
    """Split all of a message, without any rule of the standard."""
    return [
        [[part.split("^") for part in field.split("~")] for field in segment.split("|")] for segment in text.split("\r")
    ]


def rate(work: Callable[[], object], seconds: float = 1.0) -> float:
    """Return how often a second of CPU time does the work."""
    work()
    count, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < seconds:
        work()
        count += 1
    return count / spent


def main() -> None:
    """Print the rates."""
    translator = Hl7v2Translator({})
    now = datetime(2026, 3, 1, tzinfo=UTC)

    def whole(text: str) -> Callable[[], object]:
        raw = RawMessage("bench", now, "application/hl7-v2", text.encode())
        return lambda: [encode(change.resource or {}) for change in translator.translate(raw).changes]

    def split() -> object:
        return [segment.fields for segment in parse(ADT.encode()).segments]

    base = rate(lambda: naive(ADT))
    rows = [
        (f"naive split of an ADT ({len(ADT)} bytes)", base),
        ("parse and split into fields", rate(split)),
        ("hl7apy parse", rate(lambda: fields(ADT))),
        ("ADT^A01: parse, translate, encode", rate(whole(ADT))),
        (f"ORU^R01 ({len(ORU)} bytes, 30 OBX): parse, translate, encode", rate(whole(ORU))),
    ]
    for name, value in rows:
        print(f"{name:58} {value:10.0f}/s {value / base:8.4f} of naive")


if __name__ == "__main__":
    main()
