"""Opens the subscriptions of a service, where the configuration allows any."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

from hawsepipe.clock import Clock
from hawsepipe.config import Config
from hawsepipe.consent.view import Gate
from hawsepipe.exports.jobs import Filters
from hawsepipe.fhir import definitions
from hawsepipe.service.resthooks import RestHooks
from hawsepipe.subscriptions.engine import Patience, Subscriptions
from hawsepipe.subscriptions.record import Folder
from hawsepipe.subscriptions.terms import Allowed
from hawsepipe.subscriptions.topics import topics


async def opened(
    stack: AsyncExitStack, config: Config, gate: Gate, filters: Filters, clock: Clock
) -> Subscriptions | None:
    """Return the subscriptions, None where no endpoint is allowed. Raises ConfigError for a topic that is none."""
    settings = config.subscriptions
    if not settings.endpoints:
        return None
    hooks = RestHooks(private=settings.private_addresses)
    stack.push_async_callback(hooks.close)
    return Subscriptions(
        Folder(config.data / "subscriptions"),
        gate,
        filters,
        topics(definitions.load().resource_types, settings.topics),
        Allowed(settings.endpoints, settings.heartbeat_seconds),
        hooks,
        clock,
        config.base_url,
        Patience(settings.retry_seconds, settings.most_seconds, timedelta(hours=settings.give_up_hours)),
    )
