"""From names in the configuration to kinds that loaded plugins offer, with their settings checked."""

from __future__ import annotations

import asyncio
import difflib
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hawsepipe import config as configuration
from hawsepipe import plugins as loader
from hawsepipe.auth import clients
from hawsepipe.clock import Clock, system_clock
from hawsepipe.config import Config, Instance
from hawsepipe.errors import ConfigError, HawsepipeError, PluginError
from hawsepipe.hooks import Advising, Kind, Opening, Translator
from hawsepipe.meters import Meters
from hawsepipe.plugins import Plugins
from hawsepipe.service import stores
from hawsepipe.store.vault import read_keys

T = TypeVar("T")


def check(path: Path) -> tuple[ConfigError, ...]:
    """Return everything that is wrong with a configuration file, its plugins and their settings.

    No port is bound, no data touched. What can be read of a file that is wrong is checked all the same.
    """
    found = list(configuration.check(path))
    plugins, instances = configuration.outline(path)
    try:
        loaded = loader.load(plugins)
    except PluginError as error:
        return (*found, *([] if found else [ConfigError("plugins.load", str(error))]))
    wrong = list(_setting_problems(instances, loaded))
    if not found:
        bad = tuple(problem.key for problem in wrong)
        wrong += _content_problems(configuration.read(path), loaded, bad)
    return (*found, *wrong)


def advice(path: Path) -> tuple[ConfigError, ...]:
    """Return what is allowed and probably not meant, as translators see it; of a configuration without faults."""
    config = configuration.read(path)
    loaded = loader.load(config.plugins)
    return tuple(
        ConfigError(f"{instance.key}.settings.{told.key}", told.reason)
        for instance in config.translators
        for told in _tried(config, loaded.translators[instance.kind], instance)
    )


def _content_problems(config: Config, loaded: Plugins, bad: tuple[str, ...]) -> Iterable[ConfigError]:
    """Yield what a schema cannot see: what is in the files that settings name. What the keys in `bad` are of is known
    to be wrong.

    Translators are pure; feeds and destinations read their files when they are opened and listen or connect only once
    they are started. So each is opened, over a directory that is gone afterwards.
    """
    families: tuple[tuple[Sequence[Instance], Mapping[str, Kind[Any]]], ...] = (
        (config.translators, loaded.translators),
        (config.feeds, loaded.feeds),
        (config.destinations, loaded.destinations),
    )
    for instances, kinds in families:
        for instance in instances:
            if any(key.startswith(f"{instance.key}.") for key in bad):
                continue
            try:
                _tried(config, kinds[instance.kind], instance)
            except ConfigError as error:
                for one in (error, *error.also):
                    yield ConfigError(f"{instance.key}.settings.{one.key}", one.reason)
    yield from _apart(config, loaded)
    yield from _doubled(config, loaded)
    for name, path in config.journal.keys.items():
        try:
            read_keys({name: path})
        except ConfigError as error:
            yield error
    problem = stores.unready(config)
    if problem is not None:
        yield problem
    if config.clients is not None:
        try:
            clients.read(config.clients)
        except ConfigError as error:
            yield ConfigError("auth.clients", f"{error.key}: {error.reason}")


_SHARED = "charset"
"""A setting of feeds and translators that tells how the same bytes are read."""


def _apart(config: Config, loaded: Plugins) -> Iterable[ConfigError]:
    """Yield feeds that read a message otherwise than their translators: they would acknowledge what is then refused."""
    translators = {instance.name: instance for instance in config.translators}
    for feed in config.feeds:
        translator = translators.get(feed.translator)
        if translator is None:
            continue
        here = _told(feed, loaded.feeds[feed.kind])
        there = _told(translator, loaded.translators[translator.kind])
        if here is not None and there is not None and here != there:
            reason = (
                f"the feed reads as {here} what its translator {translator.name} reads as {there}: a message would be"
                " acknowledged and then refused; set both to the same"
            )
            yield ConfigError(f"{feed.key}.settings.{_SHARED}", reason)


def _doubled(config: Config, loaded: Plugins) -> Iterable[ConfigError]:
    """Yield feeds that would listen where another one, or the API, does. Kinds that listen say so in their schema."""
    taken = [(config.host, config.port, "the API")]
    for feed in config.feeds:
        schema = loaded.feeds[feed.kind].config_schema
        if not schema.get("listens"):
            continue
        settings = configuration.filled(feed.settings, schema)
        host, port = settings["host"], settings["port"]
        for other, at, whose in taken:
            if port and port == at and (host == other or not _EVERYWHERE.isdisjoint({host, other})):
                yield ConfigError(f"{feed.key}.settings.port", f"{whose} listens on {port} already")
                break
        taken.append((host, port, f"the feed {feed.name}"))


_EVERYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104  compared, not listened on


def _told(instance: Instance, kind: Kind[Any]) -> Any:
    return configuration.filled(instance.settings, kind.config_schema).get(_SHARED)


def _tried(config: Config, kind: Kind[Any], instance: Instance) -> tuple[ConfigError, ...]:
    """Open a kind over a directory that is gone afterwards; return what it advises. Raises ConfigError."""
    settings = configuration.filled(instance.settings, kind.config_schema)
    with tempfile.TemporaryDirectory(prefix="hawsepipe-check-") as folder:
        opening = Opening(instance.name, settings, Path(folder), system_clock, Meters(), config.path.parent)
        return asyncio.run(_opens(kind, opening))


async def _opens(kind: Kind[Any], opening: Opening) -> tuple[ConfigError, ...]:
    async with kind.open(opening) as opened:
        return opened.advice if isinstance(opened, Advising) else ()


def _setting_problems(named: Mapping[str, Sequence[Instance]], loaded: Plugins) -> Iterable[ConfigError]:
    families: Mapping[str, Mapping[str, Kind[Any]]] = {
        "translators": loaded.translators,
        "feeds": loaded.feeds,
        "ledgers": loaded.ledgers,
        "consent_rules": loaded.consent_rules,
        "destinations": loaded.destinations,
    }
    for family, kinds in families.items():
        for instance in named[family]:
            kind = kinds.get(instance.kind)
            if kind is None:
                yield ConfigError(f"{instance.key}.kind", _unknown(instance.kind, kinds))
            else:
                yield from configuration.violations(instance.settings, kind.config_schema, f"{instance.key}.settings")


def _unknown(name: str, kinds: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, list(kinds), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(kinds)) or 'none'}"
    return f"no loaded plugin offers {name} ({hint})"


def selected(
    config: Config, kinds: Mapping[str, Kind[T]], instance: Instance, room: str, clock: Clock, meters: Meters
) -> tuple[Kind[T], Opening]:
    """Return a kind and what to open it with; its directory below `room` is made. Raises ConfigError naming the key."""
    kind = kinds.get(instance.kind)
    if kind is None:
        raise ConfigError(f"{instance.key}.kind", _unknown(instance.kind, kinds))
    for problem in configuration.violations(instance.settings, kind.config_schema, f"{instance.key}.settings"):
        raise problem
    directory = config.data / room / instance.name
    directory.mkdir(parents=True, exist_ok=True)
    settings = configuration.filled(instance.settings, kind.config_schema)
    return kind, Opening(instance.name, settings, directory, clock, meters, config.path.parent)


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens kinds onto the stack. This is the seam to strangers' code: what it raises becomes ours."""

    stack: AsyncExitStack
    config: Config
    clock: Clock
    meters: Meters

    async def all(self, kinds: Mapping[str, Kind[T]], instances: Sequence[Instance], room: str) -> dict[str, T]:
        """Open each instance; return them by name. Raises ConfigError, or PluginError naming the instance."""
        opened: dict[str, T] = {}
        for instance in instances:
            kind, opening = selected(self.config, kinds, instance, room, self.clock, self.meters)
            try:
                opened[instance.name] = await self.stack.enter_async_context(kind.open(opening))
            except ConfigError as error:
                raise ConfigError(f"{instance.key}: {error.key}", error.reason) from error
            except HawsepipeError:
                raise
            except Exception as error:
                reason = f"{instance.key}: {instance.kind} could not be opened ({type(error).__name__})"
                raise PluginError(reason) from error
        return opened


@asynccontextmanager
async def translator(
    name: str,
    config: Config | None,
    clock: Clock,
    more: Mapping[str, Any] | None = None,
    usual: Mapping[str, Any] | None = None,
) -> AsyncIterator[Translator]:
    """Open a translator of the configuration, without one the kind of the plugin of that name.

    `more` are further settings; of those in `usual` the ones that the kind knows and the configuration does not tell.
    Raises ConfigError.
    """
    if config is None:
        kind = loader.load([name]).translators.get(name)
        if kind is None:
            raise ConfigError("translator", f"there is no translator {name} without a configuration")
        settings = configuration.filled(_known(kind, usual) | dict(more or {}), kind.config_schema)
        opening = Opening(name, settings, Path(), clock, Meters())
    else:
        loaded = loader.load(config.plugins)
        instance = next((entry for entry in config.translators if entry.name == name), None)
        if instance is None:
            raise ConfigError("translators", f"no translator has the name {name}")
        offered = loaded.translators.get(instance.kind)
        first = _known(offered, usual) if offered is not None else {}
        told = replace(instance, settings={**first, **instance.settings, **(more or {})})
        kind, opening = selected(config, loaded.translators, told, "translators", clock, Meters())
    for problem in configuration.violations(opening.settings, kind.config_schema, "settings"):
        raise problem
    async with kind.open(opening) as opened:
        yield opened


def _known(kind: Kind[Any], settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings that a kind has."""
    properties = kind.config_schema.get("properties", {})
    return {name: value for name, value in (settings or {}).items() if name in properties}
