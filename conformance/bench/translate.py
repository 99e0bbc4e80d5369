"""Messages a second of parsing and translating v2, beside other parsers and a naive split.

Run it by hand: python conformance/bench/translate.py. CPU time of one process on one core; ratios travel better
than numbers. python-hl7 is measured when it is there (`pip install hawsepipe[bench]`); hl7apy comes with the project.

A sender's messages are not one message again and again, and what a translator remembers must not count for more than
it is worth: every message of a feed is about another patient, with another visit, other times and values. Doctors,
wards, codes and analytes come again, as they do. What the same patients' next messages cost stands beside it.

The garbage collector works as it does in a worker of the service: only now and then.
"""

from __future__ import annotations

import gc
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle

from hawsepipe import RawMessage
from hawsepipe.fhir.codec import encode
from hawsepipe_hl7v2.message import parse
from hawsepipe_hl7v2.reference import fields
from hawsepipe_hl7v2.translator import Hl7v2Translator

_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
_COLLECTED = 64
"""Messages after which the collector runs."""
_MESSAGES = 2_000
_FAMILIES = ("DOE", "ROE", "MILLER", "SMITH", "NOVAK", "ROSSI", "MARTIN", "JENSEN", "KOWALSKI", "GARCIA", "YILMAZ")
_GIVEN = ("JANE", "JOHN", "ANNA", "PETER", "MARIA", "LUKAS", "EMMA", "NOAH", "SOFIA", "LIAM", "MIA", "LEON", "IDA")
_DOCTORS = ("WELBY^MARCUS", "HOUSE^GREG", "GREY^MEREDITH", "QUINN^MICHAELA", "ROSS^DOUG", "CARTER^JOHN", "LEWIS^SUSAN")
_ALLERGIES = ("PEN^Penicillin", "SULF^Sulfonamides", "ASA^Aspirin", "LATEX^Latex", "IOD^Iodine", "COD^Codeine")
_FOODS = ("PNUT^Peanut", "EGG^Egg", "MILK^Milk", "SOY^Soy", "WHEAT^Wheat")
_DIAGNOSES = (
    "I50.9^Heart failure, unspecified",
    "J18.9^Pneumonia, unspecified organism",
    "N39.0^Urinary tract infection",
    "K35.80^Unspecified acute appendicitis",
    "S72.001A^Fracture of neck of right femur",
    "E11.9^Type 2 diabetes",
)


def _pick(names: Sequence[str], number: int, step: int = 1) -> str:
    return names[number // step % len(names)]


def _stamp(number: int, minutes: int = 0) -> str:
    return f"{_BEGIN + timedelta(minutes=7 * number + minutes):%Y%m%d%H%M%S}+0000"


def _person(number: int) -> str:
    return f"{_pick(_FAMILIES, number)}{number}^{_pick(_GIVEN, number, 3)}^{chr(65 + number % 26)}"


def _doctor(number: int) -> str:
    at = number % 40
    return f"D{at}^{_pick(_DOCTORS, at)}^^^DR^^^GOOD"


def adt(number: int) -> str:
    """Return the number-th admission: of a new patient, by one of 40 doctors, to one of 24 wards."""
    day, telephone = f"{1930 + number % 90}{number % 12 + 1:02}{number % 28 + 1:02}", f"555^555{number % 10_000:04}"
    ward, room = f"W{number % 24}", f"{number % 7 + 1}0{number % 9}"
    location = f"{ward}^{room}^{'AB'[number % 2]}^HOSP^^^MAIN^3"
    street = f"{number % 900 + 1} MAIN ST^APT {number % 60}^TOWN^ST^{10_000 + number % 9000}"
    return (
        f"MSH|^~\\&|ADT1|GOOD|HP|HUB|{_stamp(number)}||ADT^A01^ADT_A01|M{number}|P|2.5.1\r"
        f"EVN|A01|{_stamp(number)}||||{_stamp(number, -5)}\r"
        f"PID|1|OLD{number}^^^GOOD^PI|MRN{number}^^^GOOD^MR~{40_000 + number}^^^&2.16.840.1.113883.3.77&ISO^PT"
        f"~{900_000_000 + number}^^^SSA^SS||{_person(number)}^^MRS^^L~{_person(number + 20_000)}^^^^^M||{day}|F"
        f"||2106-3^White^HL70005|{street}^USA^H~{number % 77} OLD RD^^VILLAGE^ST^54321^USA^BA"
        f"||^PRN^PH^^1^{telephone}~^NET^Internet^p{number}@example.org|^WPN^PH^^^{telephone}|EN^English^HL70296|M|CAT"
        f"|ACC{number}^^^GOOD^AN||||2186-5^Not Hispanic^HL70189|TOWN|N||||||N\r"
        f"PD1|||TOWN PRACTICE^^99|{_doctor(number)}\r"
        f"NK1|1|{_person(number + 40_000)}|SPO^Spouse^HL70063|{street}|^PRN^PH^^^{telephone}||EP^Emergency^HL70131\r"
        f"NK1|2|{_person(number + 60_000)}|CHD^Child^HL70063|{street}|^PRN^CP^^^{telephone}\r"
        f"PV1|1|I|{location}||||{_doctor(number)}|{_doctor(number * 7 + 1)}|{_doctor(number * 3 + 2)}|MED"
        f"{'|' * 9}V{number}^^^GOOD^VN{'|' * 25}{_stamp(number, -5)}\r"
        f"PV2|||CHF^Heart failure^L|||||{_stamp(number)[:8]}|{_stamp(number, 6000)[:8]}\r"
        f"AL1|1|DA^Drug allergy^HL70127|{_pick(_ALLERGIES, number)}^L|SV^Severe^HL70128|HIVES~RASH\r"
        f"AL1|2|FA^Food allergy^HL70127|{_pick(_FOODS, number)}^L|MO^Moderate^HL70128|SWELLING\r"
        f"DG1|1||{_pick(_DIAGNOSES, number)}^I10C||{_stamp(number)[:8]}|A|||||||||1\r"
    )


def oru(number: int) -> str:
    """Return the number-th report: 30 results of a new patient."""
    return (
        f"MSH|^~\\&|LAB|GOOD|HP|HUB|{_stamp(number)}||ORU^R01^ORU_R01|M{number}|P|2.5.1\r"
        f"PID|1||MRN{number}^^^GOOD^MR||{_person(number)}||{1930 + number % 90}0101|F\r"
        f"ORC|RE|P{number}^OE|F{number}^LAB||CM\r"
        f"OBR|1|P{number}^OE|F{number}^LAB|24323-8^Comprehensive metabolic panel^LN|||{_stamp(number, -15)}"
        f"|||||||||{_doctor(number)}||||||{_stamp(number, -1)}||CH|F\r"
        + "".join(
            f"OBX|{at}|NM|{2000 + at}-1^Analyte {at}^LN||{number * at % 97}.{number % 90 + 10}|mmol/L^^UCUM|3.9-5.6"
            f"|{'NHL'[number * at % 3]}|||F|||{_stamp(number, -15)}\r"
            for at in range(1, 31)
        )
        + "NTE|1||Checked twice\r"
    )


def naive(text: str) -> object:
    """Split all of a message, without any rule of the standard."""
    return [
        [[part.split("^") for part in field.split("~")] for field in segment.split("|")] for segment in text.split("\r")
    ]


def rate(work: Callable[[str], object], values: Iterator[str], seconds: float = 1.5) -> float:
    """Return how many of the values a second of CPU time does."""
    for _ in range(50):
        work(next(values))
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        count, begun = 0, time.process_time()
        while (spent := time.process_time() - begun) < seconds:
            for _ in range(_COLLECTED):
                work(next(values))
            gc.collect()
            count += _COLLECTED
        return count / spent
    finally:
        gc.enable()
        gc.unfreeze()


def main() -> None:
    """Print the rates."""
    translator = Hl7v2Translator({})

    def whole(text: str) -> object:
        raw = RawMessage("bench", _BEGIN, "application/hl7-v2", text.encode())
        return [encode(change.resource or {}) for change in translator.translate(raw).changes]

    def split(text: str) -> object:
        return [segment.fields for segment in parse(text.encode()).segments]

    admissions = [adt(number) for number in range(1000, 1000 + _MESSAGES)]
    reports = [oru(number) for number in range(1000, 1000 + _MESSAGES)]
    size, longer = (sum(map(len, some)) // _MESSAGES for some in (admissions, reports))
    base = rate(naive, cycle(admissions))
    rows = [
        (f"naive split of an ADT ({size} bytes)", base),
        ("parse and split into fields", rate(split, cycle(admissions))),
        ("hl7apy, parse alone", rate(fields, cycle(admissions))),
    ]
    try:
        other = importlib.import_module("hl7")
    except ImportError:
        print("python-hl7 is not there: pip install hawsepipe[bench]")
    else:
        rows.append(("python-hl7, parse alone", rate(other.parse, cycle(admissions))))
    rows += [
        ("ADT^A01, new patients: parse, translate, encode", rate(whole, cycle(admissions))),
        ("ADT^A01, the same few patients", rate(whole, cycle(admissions[:100]))),
        (f"ORU^R01 ({longer} bytes, 30 OBX), new patients", rate(whole, cycle(reports))),
    ]
    for name, value in rows:
        print(f"{name:58} {value:10.0f}/s {value / base:8.4f} of naive")


if __name__ == "__main__":
    main()
