"""The feeds of a running service: each is opened, started and stopped by itself, so that one can change alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from hawsepipe.config import Instance
from hawsepipe.errors import ConfigError
from hawsepipe.hooks import Feed, Intake, Kind
from hawsepipe.ops.feeds import Listed
from hawsepipe.service.kinds import Opener


class Listeners:
    """Opens feeds onto the opener's stack. `feeds` and `listed` are by name, and always those that run."""

    def __init__(self, opener: Opener, offered: Mapping[str, Kind[Feed]], intake: Intake) -> None:
        self._opener = opener
        self._offered = offered
        self._intake = intake
        self._stacks: dict[str, AsyncExitStack] = {}
        self.feeds: dict[str, Feed] = {}
        self.listed: dict[str, Listed] = {}

    async def open(self, instance: Instance) -> None:
        """Open a feed, which listens to nobody yet. Raises as `Opener.all`."""
        stack = await self._opener.stack.enter_async_context(AsyncExitStack())
        opened = await replace(self._opener, stack=stack).all(self._offered, [instance], "feeds")
        self._stacks[instance.name] = stack
        self.feeds[instance.name] = opened[instance.name]

    async def start(self, instance: Instance) -> None:
        """Let a feed listen. Raises ConfigError when its address cannot be had."""
        feed = self.feeds[instance.name]
        with bound(instance.key, instance.name):
            await feed.start(self._intake)
        self.listed[instance.name] = Listed(instance.kind, lambda: feed.address)

    async def change(self, before: Instance, after: Instance) -> None:
        """Stop a feed and start it as it is now to be; what was on its way is answered first.

        When it cannot be, it runs on as it was, and what stood in the way is raised.
        """
        await self._stacks[before.name].aclose()
        try:
            await self._begin(after)
        except Exception:
            await self._begin(before)
            raise

    async def _begin(self, instance: Instance) -> None:
        await self.open(instance)
        try:
            await self.start(instance)
        except BaseException:
            await self._stacks[instance.name].aclose()
            raise


@contextlib.contextmanager
def bound(key: str, what: str) -> Iterator[None]:
    """Name the setting when an address cannot be had: in use, not ours, or not permitted."""
    try:
        yield
    except OSError as error:
        raise ConfigError(key, f"{what} cannot listen ({os.strerror(error.errno or 0)})") from error


def changed(before: Any, after: Any) -> tuple[Instance, ...]:
    """Return the feeds that differ between two configurations in their settings alone.

    Raises ConfigError for the first thing that differs otherwise: only a restart makes that hold.
    """
    for name in type(before).__dataclass_fields__:
        if name not in ("path", "feeds") and getattr(before, name) != getattr(after, name):
            raise ConfigError(name, "this part has changed, and takes a restart; nothing was applied")
    if [feed.name for feed in before.feeds] != [feed.name for feed in after.feeds]:
        raise ConfigError("feeds", "feeds were added, removed or put in another order, which takes a restart")
    found: list[Instance] = []
    for old, new in zip(before.feeds, after.feeds, strict=True):
        if replace(old, settings=new.settings) != new:
            raise ConfigError(new.key, "more than the settings of this feed have changed, which takes a restart")
        if old != new:
            found.append(new)
    return tuple(found)
