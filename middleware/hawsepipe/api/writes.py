"""A write as the order that it makes and the answer to what became of it: the same alone and in a transaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hawsepipe.api.call import Call
from hawsepipe.api.conditions import reader
from hawsepipe.api.exchange import Response
from hawsepipe.consent.orders import Order, Written


@dataclass(frozen=True, slots=True)
class Write:
    """An interaction that writes. `order` may raise RequestError."""

    order: Callable[[Call], Order]
    answer: Callable[[Written, Call], Response]

    async def __call__(self, call: Call) -> Response:
        """Carry it out alone."""
        written = await call.view.write([self.order(call)], reader(call.services.parameters))
        return self.answer(written[0], call)
