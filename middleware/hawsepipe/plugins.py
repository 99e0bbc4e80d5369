"""Loads the plugins that the configuration names, and nothing else.

A plugin is an entry point of the group `hawsepipe`. Being installed gives it no effect: an installed package must
never be able to grant access by being there. Missing, doubled or misspelt names stop the start.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import jsonschema
import pluggy

from hawsepipe.errors import PluginError
from hawsepipe.hooks import GROUP, ConsentRule, Destination, Feed, Hooks, Kind, LedgerBackend, Translator

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plugins:
    """What the loaded plugins offer, by kind name. `providers` gives the plugin of each (`feed:mllp` → `hl7v2`)."""

    names: tuple[str, ...]
    feeds: Mapping[str, Kind[Feed]]
    destinations: Mapping[str, Kind[Destination]]
    translators: Mapping[str, Kind[Translator]]
    ledgers: Mapping[str, Kind[LedgerBackend]]
    consent_rules: Mapping[str, Kind[ConsentRule]]
    providers: Mapping[str, str]


def installed() -> tuple[EntryPoint, ...]:
    """Return the entry points of installed plugins, by name, without importing any of them."""
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: point.name))


def load(names: Sequence[str]) -> Plugins:
    """Import the named plugins and collect their kinds. Raises PluginError."""
    points = installed()
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    if len(set(names)) != len(names):
        raise PluginError(f"a plugin is named twice: {', '.join(names)}")
    for name in names:
        manager.register(_imported(name, [point for point in points if point.name == name], points), name=name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        plugin = manager.get_name(error.plugin)
        raise PluginError(f"plugin {plugin}: it implements a hook that does not exist") from error
    providers: dict[str, str] = {}

    def kinds(family: str, caller: pluggy.HookCaller, check: Callable[[Any], bool]) -> Mapping[str, Kind[Any]]:
        found: dict[str, Kind[Any]] = {}
        for implementation in caller.get_hookimpls():
            plugin = implementation.plugin_name
            for kind in _returned(plugin, family, implementation.function):
                if not check(kind):
                    raise PluginError(f"plugin {plugin}: register_{family}s returned something that is not a Kind")
                _check_schema(plugin, kind)
                if kind.name in found:
                    other = providers[f"{family}:{kind.name}"]
                    raise PluginError(f"{family} kind {kind.name} comes from two plugins: {other} and {plugin}")
                found[kind.name] = kind
                providers[f"{family}:{kind.name}"] = plugin
        return found

    def is_kind(value: Any) -> bool:
        return isinstance(value, Kind)

    return Plugins(
        names=tuple(names),
        destinations=kinds("destination", manager.hook.register_destinations, is_kind),
        feeds=kinds("feed", manager.hook.register_feeds, is_kind),
        translators=kinds("translator", manager.hook.register_translators, is_kind),
        ledgers=kinds("ledger", manager.hook.register_ledgers, is_kind),
        consent_rules=kinds("consent_rule", manager.hook.register_consent_rules, is_kind),
        providers=providers,
    )


def _imported(name: str, points: Sequence[EntryPoint], known: Sequence[EntryPoint]) -> Any:
    if not points:
        names = ", ".join(point.name for point in known) or "none"
        raise PluginError(f"plugin {name} is not installed (installed: {names})")
    if len(points) > 1:
        packages = ", ".join(sorted(point.dist.name if point.dist else "?" for point in points))
        raise PluginError(f"plugin {name} is offered by several packages: {packages}")
    limit = sys.getrecursionlimit()
    try:
        return points[0].load()
    except ModuleNotFoundError as error:
        extra = points[0].extras
        install = f"; pip install '{points[0].dist.name}[{extra[0]}]'" if extra and points[0].dist else ""
        raise PluginError(f"plugin {name} needs the Python package {error.name}{install}") from error
    except Exception as error:
        # Anything can come out of a stranger's import; the cause stays in the chain for whoever reads the trace.
        raise PluginError(f"plugin {name} cannot be imported ({type(error).__name__})") from error
    finally:
        # Some packages raise it for the whole process when they are imported. It is what ends deeply nested JSON before
        # the stack does.
        sys.setrecursionlimit(limit)


def _returned(plugin: str, family: str, function: Callable[..., Any]) -> tuple[Any, ...]:
    try:
        return tuple(function())
    except Exception as error:
        raise PluginError(f"plugin {plugin}: register_{family}s failed ({type(error).__name__})") from error


def _check_schema(plugin: str, kind: Kind[Any]) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(dict(kind.config_schema))
    except jsonschema.SchemaError as error:
        raise PluginError(f"plugin {plugin}: the settings schema of kind {kind.name} is not a JSON Schema") from error
