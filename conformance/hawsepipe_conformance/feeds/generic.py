"""A case that speaks for itself: its bytes or its recipe go over the wire, and what can be measured is measured."""

from __future__ import annotations

import asyncio

from hawsepipe_conformance.feeds.drafts import recipe
from hawsepipe_conformance.feeds.expectations import found, metric_names
from hawsepipe_conformance.feeds.line import Line, bodies, control_of, framed
from hawsepipe_conformance.feeds.stage import Stage

QUIET = 0.25
"""Seconds without an answer after which no further one is expected."""
_FLAGS = {"control-id-reuse": "hawsepipe_feed_keys_reused_total"}
_METRICS = {"framing": ("hawsepipe_feed_framing_events_total", "event")}


async def play(stage: Stage) -> None:
    """Send the case's bytes, or the message that its input describes, and measure."""
    case = stage.case
    async with stage.line() as line:
        if case.wire:
            await line.play(case.wire)
        else:
            await line.send(framed(recipe(case, stage.messages, case.id, stage.person)))
        await watch(stage, line)


async def watch(stage: Stage, line: Line) -> None:
    """Wait for the answers to what was sent over a connection, and measure."""
    expected = stage.case.expected
    sent = bodies(bytes(line.sent))
    wanted = expected.get("ack", expected.get("ack_count"))
    count = len(wanted) if isinstance(wanted, list) else wanted if isinstance(wanted, int) else len(sent)
    await line.until(count, 30 if count > 10 else 10 if "ack" in expected or "ack_count" in expected else 2)
    await asyncio.sleep(QUIET)
    await stage.account(bytes(line.sent))
    closed = await line.hung_up(10 if expected.get("conn") == "closed" else 0)
    acks = line.acks
    order = [ack.control for ack in acks]
    asked = [control_of(body) for body in sent]
    stage.measure(
        ack=[ack.code for ack in acks],
        ack_count=len(acks),
        order=order,
        in_order=bool(order) and order == [control for control in asked if control in order],
        err=[code for ack in acks for code in ack.errors()],
        conn="closed" if closed else "open",
    )
    stage.measure(flag=[flag for flag, metric in _FLAGS.items() if await stage.grown(metric)])
    metrics: dict[str, float] = {}
    for name in metric_names(expected):
        family, _, rest = name.partition("_")
        whole, label = _METRICS.get(family, ("", ""))
        metrics[name] = await (stage.grown(whole, **{label: rest}) if whole else stage.grown(f"hawsepipe_{name}"))
    stage.measure(metric=metrics)
    if isinstance(expected.get("value"), dict):
        values: dict[str, list[object]] = {}
        for path in expected["value"]:
            type_, _, rest = path.partition(".")
            made = [resource for body in sent for resource in await stage.made(body, type_)]
            values[path] = [value for resource in made for value in found(resource, rest)]
        stage.measure(value=values)
