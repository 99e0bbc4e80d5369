"""Readings of devices over MQTT (IO), with a real broker."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime
from time import time_ns
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hawsepipe_conformance.feeds.checks.registry import Checks
from hawsepipe_conformance.feeds.stage import Stage
from hawsepipe_conformance.feeds.ward import PATIENTS, Ward, ward

CHECKS = Checks()
_BEGIN = "2026-03-01T10:{minute:02}:{second:02}Z"
_MINUTE = {"seconds": 60, "period_ms": 1000, "lateness_seconds": 5}
_FIVE, _MANY = 300, 1000
_SPO2: dict[str, Any] = {
    "name": "spo2",
    "topic": "ward/{device}/spo2",
    "code": "MDC_PULS_OXIM_SAT_O2",
    "value": "$.v",
    "time": "$.t",
    "sequence": "$.n",
    "range": [0, 100],
}


def _now() -> float:
    return time_ns() / 1e9


def _at(second: int) -> str:
    return _BEGIN.format(minute=second // 60, second=second % 60)


def _reading(second: int, value: Any, number: int | None = None, **more: Any) -> bytes:
    told = {"v": value, "t": _at(second), "n": second if number is None else number, **more}
    return json.dumps(told).encode()


def _worn(*ids: str, **more: Any) -> list[dict[str, Any]]:
    return [{"id": id_, "patient": {"system": PATIENTS, "value": f"P-{id_}"}, **more} for id_ in ids]


@CHECKS.case("IO-16", "MDC coding kept, LOINC added if mapped")
async def _codes(stage: Stage) -> None:
    pleth = {**_SPO2, "name": "pleth", "topic": "ward/{device}/pleth", "code": "MDC_PULS_OXIM_PLETH"}
    async with ward(stage, [_SPO2, pleth], _worn("d1")) as place:
        await place.publish(("ward/d1/spo2", _reading(0, 97)), ("ward/d1/pleth", _reading(1, 0.5, 1)))
        found = await place.observations("P-d1", 2)
        codings = [[(it["system"], it["code"]) for it in one["code"]["coding"]] for one in found]
        mdc, loinc = "urn:iso:std:iso:11073:10101", "http://loinc.org"
        own = place.stage
        own.claim("two Observations", len(codings) == 2)
        own.claim("MDC is kept", [(mdc, "150456") in it for it in codings] + [(mdc, "150452") in codings[-1]])
        own.claim("LOINC is there where it is mapped", (loinc, "59408-5") in codings[0])
        own.claim("and not where it is not", not [it for it in codings[1] if it[0] == loinc])


def _data(observations: list[dict[str, Any]]) -> list[str]:
    return [one["valueSampledData"]["data"] for one in observations if "valueSampledData" in one]


@CHECKS.case("IO-02", "recognised by retain flag; not counted as a new sample if seen")
async def _retained(stage: Stage) -> None:
    window = {**_SPO2, "name": "minute", "topic": "ward/{device}/minute", "window": _MINUTE}
    bare = {"name": "bare", "topic": "ward/{device}/bare", "code": "MDC_TEMP_BODY", "value": "$.v"}
    kept = (("ward/d1/spo2", _reading(0, 97)), ("ward/d1/minute", _reading(3, 95)), ("ward/d1/bare", b'{"v": 37}'))
    async with ward(stage, [_SPO2, window, bare], _worn("d1"), retained=kept) as place:
        own = place.stage
        await place.taken(3)
        own.claim("what was never seen is taken", len(await place.observations("P-d1", 2)) == 2)
        own.claim("the flag is recognised", await place.event("retained") == 3)
        # Whoever subscribes again gets all of them again.
        await own.local().crash()
        await place.taken(3)
        own.claim("it is recognised again", await place.event("retained") == 3)
        own.claim("as what was there before", await place.total("hawsepipe_feed_duplicates_total") == 3)
        await place.publish(("ward/d1/minute", _reading(90, 96)))
        found = await place.observations("P-d1", 3)
        own.claim("no Observation is doubled", len(found) == 3)
        own.claim("nor has any a second version", {one["meta"]["versionId"] for one in found} == {"1"})
        samples = " ".join(_data(found)).split(" ")
        own.claim("one sample in the window", samples.count("E") == 59 and samples[3] == "95")


@CHECKS.case("IO-03", "no loss while broker queue < limit; gap reported if limit hit (device seq)")
async def _offline(stage: Stage) -> None:
    for version in ("5", "3.1.1"):
        async with ward(stage, [_SPO2], _worn("d1"), version=version) as place:
            own = place.stage
            await place.publish(*(("ward/d1/spo2", _reading(second, 97)) for second in range(5)))
            await place.taken(5)
            await own.local().end(signal.SIGKILL)
            await place.publish(*(("ward/d1/spo2", _reading(second, 96)) for second in range(5, 60)))
            place.publisher.close()
            await asyncio.to_thread(place.broker.stop)
            await asyncio.to_thread(place.broker.start)
            await own.local().start()
            await place.join()
            await place.publish(("ward/d1/spo2", _reading(60, 95)))
            found = await place.observations("P-d1", 61)
            times = [one["effectiveDateTime"] for one in found]
            own.claim(f"nothing is lost (MQTT {version}: {len(found)} of 61)", times == [_at(it) for it in range(61)])
            own.claim("no gap is told", await place.event("sequence_gap") == 0)
            # The broker goes away and comes back under the running service.
            await asyncio.to_thread(place.broker.kill)
            await asyncio.to_thread(place.broker.start)
            await place.join()
            await place.publish(("ward/d1/spo2", _reading(61, 94)))
            own.claim("the service finds back", len(await place.observations("P-d1", 62)) == 62)
    async with ward(stage, [_SPO2], _worn("d1"), "max_queued_messages 20") as place:
        own = place.stage
        await place.publish(("ward/d1/spo2", _reading(0, 97)))
        await place.taken(1)
        await own.local().end(signal.SIGKILL)
        await place.publish(*(("ward/d1/spo2", _reading(second, 96)) for second in range(1, 201)))
        await own.local().start()
        await place.until(lambda: place.total("hawsepipe_feed_messages_received_total"), 20)
        await place.publish(("ward/d1/spo2", _reading(201, 95)))
        await place.until(lambda: place.event("sequence_gap"), 1)
        await own.settled()
        found = await place.observations("P-d1", 2)
        missing = await place.event("sequence_gap")
        own.claim("the broker has thrown something away", len(found) < 202)
        own.claim(f"and the gap is told ({missing:.0f} of {202 - len(found)})", missing == 202 - len(found))


@CHECKS.case("IO-08", "rejected, security event; valid later reading accepted")
async def _signed(stage: Stage) -> None:
    keys = [Ed25519PrivateKey.generate() for _ in range(2)]
    secret = os.urandom(32)
    public = base64.b64encode(keys[0].public_key().public_bytes_raw()).decode()
    devices = _worn("d1", key={"ed25519": public}) + _worn("d2", key={"hmac": {"environment": "HAWSEPIPE_DEVICE_D2"}})
    os.environ["HAWSEPIPE_DEVICE_D2"] = base64.b64encode(secret).decode()

    def sealed(key: Ed25519PrivateKey, nonce: int, topic: str = "ward/d1/spo2") -> bytes:
        payload = _reading(nonce, 90 + nonce)
        text = _signed_text("d1", topic, nonce, payload)
        return _envelope(payload, nonce, key.sign(text))

    both = {**_SPO2, "topic": "+/{device}/spo2"}
    async with ward(stage, [both], devices) as place:
        own = place.stage
        good = sealed(keys[0], 1)
        moved = sealed(keys[0], 2)
        changed = json.loads(sealed(keys[0], 2)) | {"nonce": 3}
        await place.publish(
            ("ward/d1/spo2", sealed(keys[1], 1)),  # another key
            ("ward/d1/spo2", good),
            ("ward/d1/spo2", good),  # again
            ("other/d1/spo2", moved),  # another topic
            ("ward/d1/spo2", json.dumps(changed).encode()),  # another nonce
            ("ward/d1/spo2", _reading(4, 94)),  # not signed
            ("ward/d1/spo2", sealed(keys[0], 5)),
        )
        await place.taken(7)
        letters = await own.letters()
        own.claim(f"five are refused (found {len(letters)})", len(letters) == 5)
        events = (await place.event("signature"), await place.event("replay"))
        own.claim(f"as events of security (found {events})", events == (4, 1))
        lines = [line for line in own.local().log().splitlines() if "security: " in line]
        own.claim("which are logged", len(lines) == 5)
        found = await place.observations("P-d1", 2)
        own.claim("the valid ones are taken", [one["valueQuantity"]["value"] for one in found] == [91, 95])
        payload = _reading(7, 88)
        mac = hmac.digest(secret, _signed_text("d2", "ward/d2/spo2", 7, payload), "sha256")
        await place.publish(("ward/d2/spo2", _envelope(payload, 7, mac)))
        own.claim("a shared secret does as well", len(await place.observations("P-d2")) == 1)
        # The number is remembered over a crash.
        await own.local().crash()
        await place.publish(("ward/d1/spo2", good))
        await place.taken(1)
        own.claim("a replay after a restart is one too", await place.event("replay") == 1)
        own.measure(security=True)


def _signed_text(device: str, topic: str, nonce: int, payload: bytes) -> bytes:
    parts = (b"hawsepipe-reading-v1", device.encode(), topic.encode(), str(nonce).encode(), payload)
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _envelope(payload: bytes, nonce: int, signature: bytes) -> bytes:
    told = {"payload": base64.b64encode(payload).decode(), "nonce": nonce}
    return json.dumps(told | {"signature": base64.b64encode(signature).decode()}).encode()


@CHECKS.case("IO-09", "converted by UCUM with original kept, or rejected; never unit swapped silently")
async def _units(stage: Stage) -> None:
    glucose: dict[str, Any] = {
        "name": "glucose",
        "topic": "ward/{device}/glucose",
        "code": [{"system": "http://loinc.org", "code": "15074-8"}],
        "value": "$.v",
        "unit": "$.u",
        "result_unit": "mmol/L",
        "time": "$.t",
    }
    exact = {**glucose, "molar_mass": 180.156}
    loose = {**glucose, "name": "loose", "topic": "ward/{device}/loose"}
    warm = {**glucose, "name": "warm", "topic": "ward/{device}/warm", "code": "MDC_TEMP_BODY", "result_unit": "Cel"}
    async with ward(stage, [exact, loose, warm], _worn("d1")) as place:
        own = place.stage
        await place.publish(
            ("ward/d1/glucose", _reading(0, 5.4, u="mmol/L")),
            ("ward/d1/glucose", _reading(1, 97, u="mg/dL")),
            ("ward/d1/warm", _reading(2, 98.6, u="degF")),
            ("ward/d1/loose", _reading(3, 97, u="mg/dL")),  # no molar mass to convert it by
            ("ward/d1/warm", _reading(4, 98.6, u="mmHg")),
            ("ward/d1/warm", _reading(5, 98.6, u="parsec")),
            ("ward/d1/warm", _reading(6, 98.6)),
        )
        await place.taken(7)
        found = [one["valueQuantity"] for one in await place.observations("P-d1", 3)]
        told = [(one["value"], one["code"]) for one in found]
        own.claim(f"converted (found {told})", told == [(5.4, "mmol/L"), (5.38, "mmol/L"), (37.0, "Cel")])
        kept = [one.get("extension", [{}])[0].get("valueQuantity", {}) for one in found]
        originals = [(one.get("value"), one.get("code")) for one in kept]
        own.claim("with the original", originals == [(None, None), (97, "mg/dL"), (98.6, "[degF]")])
        letters = await own.letters()
        own.claim(f"or refused (found {[it['cause'] for it in letters]})", len(letters) == 4)


@CHECKS.case("IO-10", "E/U/L in SampledData or dead letter; no NaN in JSON")
async def _no_numbers(stage: Stage) -> None:
    window = {**_SPO2, "name": "minute", "topic": "ward/{device}/minute", "window": _MINUTE}
    values = ["97", "NaN", "Infinity", "-Infinity", "null", '"96"', "250", "-3", "95"]
    async with ward(stage, [_SPO2, window], _worn("d1")) as place:
        own = place.stage

        def sent(topic: str) -> list[tuple[str, bytes]]:
            bodies = [f'{{"v": {value}, "t": "{_at(at)}", "n": {at}}}' for at, value in enumerate(values)]
            return [(topic, body.encode()) for body in bodies]

        await place.publish(*sent("ward/d1/minute"), ("ward/d1/minute", _reading(90, 90)))
        (one, *_) = [it for it in await place.observations("P-d1") if "valueSampledData" in it]
        data = one["valueSampledData"]["data"].split(" ")
        own.claim(
            f"E, U and L in the window (found {data[:9]})", data[:9] == ["97", "E", "U", "L", "E", "E", "U", "L", "95"]
        )
        letters = await own.letters()
        own.claim("the number in a string is set aside", len(letters) == 1)
        await place.publish(*sent("ward/d1/spo2"))
        await place.taken(len(values) * 2 + 2)
        found = [it for it in await place.observations("P-d1", 3) if "valueQuantity" in it]
        own.claim("of single readings the numbers are told", [it["valueQuantity"]["value"] for it in found] == [97, 95])
        own.claim("the others are set aside", len(await own.letters()) == 1 + len(values) - 2)
        text = json.dumps(await place.observations("P-d1", 3))
        own.claim("no NaN in JSON", "NaN" not in text and "Infinity" not in text)


@CHECKS.case("IO-11", "'E' in data at the missing positions; period and origin right")
async def _gap(stage: Stage) -> None:
    window = {**_SPO2, "window": _MINUTE}
    missing = {7, 30, 31}
    async with ward(stage, [window], _worn("d1")) as place:
        own = place.stage
        sent = [("ward/d1/spo2", _reading(second, 90 + second % 10)) for second in range(60) if second not in missing]
        await place.publish(*sent, ("ward/d1/spo2", _reading(70, 99)))
        (one, *_) = await place.observations("P-d1")
        told = one["valueSampledData"]
        wanted = ["E" if second in missing else str(90 + second % 10) for second in range(60)]
        own.claim(f"E where samples are missing (found {told['data']})", told["data"].split(" ") == wanted)
        own.claim("the period in milliseconds", told["period"] == 1000)
        origin = {"value": 0, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
        own.claim("the origin with its unit", told["origin"] == origin and told["dimensions"] == 1)
        own.claim("the time of the window", one["effectivePeriod"] == {"start": _at(0), "end": _at(60)})
        own.claim("the gaps are counted", await place.event("sequence_gap") == 3 + 10)
        # What was late comes into its place, as a new version.
        await place.publish(*(("ward/d1/spo2", _reading(second, 80)) for second in sorted(missing)))
        await place.until(lambda: place.event("window_late"), 1)
        await own.settled()
        again = await own.product.read(f"Observation/{one['id']}")
        data = again["valueSampledData"]["data"].split(" ")
        own.claim("late ones make a new version", again["meta"]["versionId"] == "2" and data[30] == "80")


@CHECKS.case("IO-13", "dead letter with raw bytes and topic; subscriber survives")
async def _malformed(stage: Stage) -> None:
    packed = {**_SPO2, "name": "packed", "topic": "ward/{device}/packed", "format": "cbor"}
    windowed = {**_SPO2, "name": "minute", "topic": "ward/{device}/minute", "window": _MINUTE}
    broken = [
        ("ward/d1/spo2", b'{"v": 97, "t": '),
        ("ward/d1/spo2", b"\x08\x96\x01\x12\x07spo2\xff"),  # protobuf where JSON is expected
        ("ward/d1/spo2", b"[" * 5000),
        ("ward/d1/packed", b"\xa2\x61v\x18"),
        ("ward/d1/packed", b"\x9f" * 500),
        ("ward/d1/packed", b"\x08\x96\x01"),  # protobuf where CBOR is expected
        ("ward/d1/minute", b"\x00"),
    ]
    async with ward(stage, [_SPO2, packed, windowed], _worn("d1")) as place:
        own = place.stage
        await place.publish(*broken, ("ward/d1/spo2", _reading(0, 97)))
        await place.taken(len(broken) + 1)
        letters = await own.letters()
        own.claim(f"each is a dead letter (found {len(letters)})", len(letters) == len(broken))
        for letter, (topic, body) in zip(letters, broken, strict=True):
            kept = await own.product.get(f"{own.product.origin}/ops/dead-letters/{letter['sequence']}")
            content = kept["content"]
            raw = content["text"].encode() if "text" in content else base64.b64decode(content["base64"])
            own.claim(f"the bytes are kept ({topic})", raw == body)
            own.claim(f"with the topic {topic}", kept["media_type"].endswith(f"topic={topic}"))
        own.claim("the next one is taken", len(await place.observations("P-d1")) == 1)


@CHECKS.case("IO-15", "both outputs / dead letter 'no template'")
async def _templates(stage: Stage) -> None:
    pulse = {
        **_SPO2,
        "name": "pulse",
        "topic": "ward/#",
        "device": "$.d",
        "code": "MDC_PULS_OXIM_PULS_RATE",
        "value": "$.p",
    }
    pulse["range"] = [0, 300]
    async with ward(stage, [_SPO2, pulse], _worn("d1"), topics=["#"]) as place:
        own = place.stage
        await place.publish(
            ("ward/d1/spo2", _reading(0, 97, p=61, d="d1")), ("elsewhere/d1", _reading(1, 97)), ("ward", b"{}")
        )
        await place.taken(3)
        found = await place.observations("P-d1", 2)
        values = sorted(one["valueQuantity"]["value"] for one in found)
        own.claim(f"both outputs (found {values})", values == [61, 97])
        letters = await own.letters()
        own.claim("a dead letter each for what no template is for", len(letters) == 2)
        own.claim("which says so", "no template" in json.dumps(letters[0]))


@CHECKS.case("IO-14", "<= N Observations as windowed (e.g. 1000 per 5 min), one anchor batch per window, lag p99 < 5 s")
async def _burst(stage: Stage) -> None:
    # By default the events' clock runs faster than the wall's; `--soak 300` and more is the whole of it at 1 Hz.
    whole = stage.soak >= _FIVE
    period = 1 if whole else 30
    window = {"seconds": _FIVE, "period_ms": period * 1000, "lateness_seconds": 1, "idle_seconds": 3600}
    ids = [f"d{number}" for number in range(_MANY)]
    batches = {"anchor_seconds": 10, "anchor_leaves": 100000}
    async with ward(stage, [{**_SPO2, "window": window}], _worn(*ids), service=batches) as place:
        own = place.stage
        start = (int(_now()) // _FIVE + (1 if whole else -20)) * _FIVE
        # The first window brings people and devices, and is one sample long; the second is the burst.
        await _beat(place, ids, start - period, 0)
        await _beat(place, ids, start + period, 2)
        await _made(place, _MANY)
        before = await _anchored(place, 0)
        for count, second in enumerate(range(2 * period, _FIVE, period), 3):
            if whole:
                await asyncio.sleep(max(start + second - _now(), 0))
            await _beat(place, ids, start + second, count)
        await _beat(place, ids, start, 1)
        if whole:
            await asyncio.sleep(max(start + _FIVE + 2 - _now(), 0))
        closed = _now()
        await _beat(place, ids, start + _FIVE + 2, _FIVE // period + 1)
        made = await _made(place, 2 * _MANY)
        own.claim(f"as many Observations as windows (found {made:.0f})", made == 2 * _MANY)
        found = [(await place.observations(f"P-{id_}", 2))[-1] for id_ in ids[:: _MANY // 100]]
        own.claim("each once", len(found) == 100 and {one["meta"]["versionId"] for one in found} == {"1"})
        full = {one["valueSampledData"]["data"].count("E") for one in found}
        own.claim(f"each sample is there (missing: {full})", full == {0})
        lags = sorted(datetime.fromisoformat(one["meta"]["lastUpdated"]).timestamp() - closed for one in found)
        own.claim(f"p99 of the lag below 5 s (found {lags[98]:.1f} s)", lags[98] < 5)
        after = await _anchored(place, before)
        own.claim(f"one anchor batch for the window (found {after - before:.0f})", after - before == 1)


async def _beat(place: Ward, ids: Sequence[str], second: int, number: int) -> None:
    """Publish a reading of each device."""
    moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = json.dumps({"v": 90 + number % 10, "t": moment, "n": number}).encode()
    await place.publish(*((f"ward/{id_}/spo2", body) for id_ in ids))


async def _made(place: Ward, count: int) -> float:
    """Return how many Observations there are, once there are so many and nothing is on its way."""
    total = place.stage.product.total
    await place.until(lambda: total("hawsepipe_store_versions_total", type="Observation"), count, 120)
    await place.stage.settled()
    return await total("hawsepipe_store_versions_total", type="Observation")


async def _anchored(place: Ward, before: float) -> float:
    """Return how many batches the log has got, once there are more than before and all versions are in them."""
    total = place.stage.product.total
    await place.until(lambda: total("hawsepipe_ledger_checkpoints_total"), before + 1)
    versions = await total("hawsepipe_store_versions_total")
    await place.until(lambda: total("hawsepipe_ledger_log_size"), versions)
    return await total("hawsepipe_ledger_checkpoints_total")
