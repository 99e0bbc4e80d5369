"""Copies of servers, made with the feed kind that reads them."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from hawsepipe import config as configuration
from hawsepipe import plugins as loader
from hawsepipe.clock import system_clock
from hawsepipe.config import Config
from hawsepipe.errors import ConfigError
from hawsepipe.hooks import Copying, Opening
from hawsepipe.meters import Meters
from hawsepipe.migrate.sources import NAME

_PLUGIN: Final = "fhir"
_KIND: Final = "fhir-poll"


async def copied(
    config: Config, name: str, url: str, settings: Path | None, told: Callable[[int], None]
) -> tuple[Path, Mapping[str, Any]]:
    """Copy the server at `url` into a folder of its own below the data directory; return it and the window.

    `settings` is a TOML file with those of the feed kind. Raises ConfigError, and what `Copying.copy` raises.
    """
    if NAME.fullmatch(name) is None:
        raise ConfigError("source", "a server has a name of letters, digits, dots, hyphens and underscores: NAME=URL")
    kind = loader.load([_PLUGIN]).feeds[_KIND]
    held = {} if settings is None else tomllib.loads(await asyncio.to_thread(settings.read_text, encoding="utf-8"))
    held = {**held, "url": url}
    for problem in configuration.violations(held, kind.config_schema, "server"):
        raise problem
    held = configuration.filled(held, kind.config_schema)
    folder = config.data / "copies" / name
    base = config.path.parent if settings is None else settings.parent
    opening = Opening(name, held, folder, system_clock, Meters(), base)
    async with kind.open(opening) as feed:
        if not isinstance(feed, Copying):
            raise ConfigError("source", f"a feed of kind {_KIND} cannot be copied")
        return folder, await feed.copy(folder, told)
