"""One TOML file, checked against its schema before anything opens.

`schemas/hawsepipe_schemas/config.schema.json` says what each key means; `hawsepipe init` writes a commented file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema

from hawsepipe.errors import ConfigError
from hawsepipe_schemas import load as load_schema

TEMPLATE = Path(__file__).with_name("template.toml")
"""The commented configuration that `hawsepipe init` writes."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One opened thing: a feed, a translator or a ledger. `key` is where it stands (`feeds[0]`); `passing`: a letter of
    the feed lets later messages about the same patient pass.
    """

    key: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    translator: str = ""
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Outlet(Instance):
    """A destination: which feeds' messages go there, what becomes of a refused one, and `retry` in seconds."""

    feeds: tuple[str, ...] = ()
    hold: bool = True
    retry: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How long messages stay, in days (0: for ever), and what they are sealed under; `keys` are files by name."""

    applied_days: float
    discarded_days: float
    prune_seconds: float
    key: str | None
    keys: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class ContentSettings:
    """From which size on content is kept beside the store, how much one may be, how long what nothing names stays."""

    inline_bytes: int
    max_bytes: int
    grace_hours: float
    sweep_seconds: float


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Which database everything is kept in, and how PostgreSQL is reached; `connections` are those that read."""

    kind: str
    url: str
    password_file: Path | None
    schema: str
    connections: int
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class SubscriptionSettings:
    """Where notifications may go (nowhere: there are no subscriptions), and with how much patience."""

    endpoints: tuple[str, ...]
    private_addresses: bool
    topics: Path | None
    heartbeat_seconds: int
    retry_seconds: float
    most_seconds: float
    give_up_hours: float


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """When an alert is told again, and from when on a message that waits is one; in seconds."""

    remind_seconds: float
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. Paths are absolute."""

    path: Path
    channel: str
    data: Path
    log_level: str
    log_format: str
    workers: int
    anchor_seconds: float
    anchor_leaves: int
    store: StoreSettings
    journal: JournalSettings
    contents: ContentSettings
    subscriptions: SubscriptionSettings
    alerts: AlertSettings
    load_folders: tuple[Path, ...]
    host: str
    port: int
    base_url: str
    max_body: int
    page_size: int
    clients: Path | None
    tenant: str
    default_policy: str
    permit_ceiling: str
    privacy_officer_roles: frozenset[str]
    role_policy: Mapping[str, frozenset[str]] | None
    redactions: Mapping[str, frozenset[str]]
    references: str
    plugins: tuple[str, ...]
    translators: tuple[Instance, ...]
    feeds: tuple[Instance, ...]
    destinations: tuple[Outlet, ...]
    ledgers: tuple[Instance, ...]
    consent_rules: tuple[Instance, ...]


def read(path: Path) -> Config:
    """Read and check a file. Raises ConfigError for the first thing that is wrong (`problems` gives all)."""
    document = _document(path)
    for problem in problems(document):
        raise problem
    return _config(path, filled(document, load_schema("config.schema.json")))


def check(path: Path) -> tuple[ConfigError, ...]:
    """Return everything that is wrong with a file, without opening anything it names."""
    try:
        return problems(_document(path))
    except ConfigError as error:
        return (error,)


def outline(path: Path) -> tuple[tuple[str, ...], dict[str, tuple[Instance, ...]]]:
    """Return the plugins and the instances by family that a file names, as far as it can be read."""
    try:
        document = _document(path)
    except ConfigError:
        document = {}
    plugins = document.get("plugins")
    load = plugins.get("load") if isinstance(plugins, Mapping) else None
    if not isinstance(load, list):
        load = load_schema("config.schema.json")["properties"]["plugins"]["properties"]["load"].get("default", [])
    return tuple(name for name in load if isinstance(name, str)), {
        family: tuple(_named(family, document.get(family))) for family in _FAMILIES
    }


def _named(family: str, entries: Any) -> Iterable[Instance]:
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        kind = entry.get("kind") if isinstance(entry, Mapping) else None
        settings = entry.get("settings", {}) if isinstance(entry, Mapping) else None
        if isinstance(kind, str) and kind and isinstance(settings, Mapping):
            yield Instance(f"{family}[{number}]", str(entry.get("name", "")), kind, settings)


_FAMILIES = ("translators", "feeds", "ledgers", "consent_rules", "destinations")


def problems(document: Mapping[str, Any]) -> tuple[ConfigError, ...]:
    """Return everything that is wrong with a document: against the schema, then across its parts."""
    found = tuple(violations(document, load_schema("config.schema.json"), ""))
    return found or tuple(_contradictions(document))


def violations(value: Any, schema: Mapping[str, Any], key: str) -> Iterable[ConfigError]:
    """Yield a ConfigError for each violation of a JSON Schema; `key` is the dotted path of `value`."""
    validator = jsonschema.Draft202012Validator(dict(schema))
    for error in sorted(validator.iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path]):
        where = _dotted(key, error.absolute_path)
        if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
            known = list(error.schema.get("properties", {}))
            for name in sorted(set(error.instance) - set(known)):
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else f" (known: {', '.join(sorted(known)) or 'none'})"
                yield ConfigError(_dotted(where, [name]), f"this key is not known{hint}")
        elif error.validator == "required" and isinstance(error.instance, Mapping):
            for name in error.validator_value:
                if name not in error.instance:
                    yield ConfigError(_dotted(where, [name]), "this key is required")
        else:
            yield ConfigError(where or "file", _words(error))


def _words(error: Any) -> str:
    """Say what a schema has against a value, in words of the value's meaning where the schema tells it."""
    value, wanted = error.instance, str(error.schema.get("description", "")).rstrip(".")
    if error.validator in ("minLength", "minItems", "minProperties") and not value:
        return f"this is empty; wanted: {wanted}" if wanted else "this is empty"
    if error.validator == "pattern" and wanted:
        return f"{value!r} is not of the form wanted here: {wanted}" if value else f"this is empty; wanted: {wanted}"
    if error.validator == "type" and error.validator_value in _KINDS:
        return f"{value!r} is not {_KINDS[error.validator_value]}"
    return str(error.message)


_KINDS = {
    "string": "text",
    "object": "a table",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """Return `value` with the schema's `default`s for absent properties (objects, arrays, local `$ref`)."""
    root = schema if root is None else root
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        schema = root["$defs"][reference.removeprefix("#/$defs/")]
    if isinstance(value, Mapping):
        result = dict(value)
        for name, part in schema.get("properties", {}).items():
            if name in result:
                result[name] = filled(result[name], part, root)
            elif "default" in part:
                result[name] = part["default"]
            elif part.get("type") == "object" and not part.get("required"):
                result[name] = filled({}, part, root)
        return result
    if isinstance(value, list):
        return [filled(item, schema.get("items", {}), root) for item in value]
    return value


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("file", f"{path} does not exist; `hawsepipe init` writes one") from error
    except OSError as error:
        raise ConfigError("file", f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError("file", f"{path} is not UTF-8 (byte {error.start})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("file", f"{path} is not TOML: {error}") from error


def _contradictions(document: Mapping[str, Any]) -> Iterable[ConfigError]:
    for family in ("translators", "feeds", "destinations", "ledgers", "consent_rules"):
        seen: set[str] = set()
        for number, entry in enumerate(document.get(family, [])):
            if entry["name"] in seen:
                yield ConfigError(f"{family}[{number}].name", f"the name {entry['name']} is taken")
            seen.add(entry["name"])
    journal = document.get("journal", {})
    if "key" in journal and journal["key"] not in journal["keys"]:
        yield ConfigError("journal.key", "no file of journal.keys has this name")
    yield from _contradictions_of_store(document.get("store", {}))
    translators = [entry["name"] for entry in document.get("translators", [])]
    for number, entry in enumerate(document.get("feeds", [])):
        if entry["translator"] not in translators:
            known = ", ".join(translators) or "none"
            yield ConfigError(f"feeds[{number}].translator", f"no translator has this name (known: {known})")
    feeds = [entry["name"] for entry in document.get("feeds", [])]
    for number, entry in enumerate(document.get("destinations", [])):
        for place, name in enumerate(entry["feeds"]):
            if name not in feeds:
                known = ", ".join(feeds) or "none"
                yield ConfigError(f"destinations[{number}].feeds[{place}]", f"no feed has this name (known: {known})")


def _contradictions_of_store(store: Mapping[str, Any]) -> Iterable[ConfigError]:
    if store.get("kind", "sqlite") == "sqlite":
        for key in sorted({"url", "password_file", "schema", "connections", "timeout_seconds"} & store.keys()):
            yield ConfigError(f"store.{key}", 'this is for kind = "postgres" alone')
    elif "url" not in store:
        yield ConfigError("store.url", "this key is required by kind postgres")
    else:
        try:
            password = urlsplit(store["url"]).password
        except ValueError:
            yield ConfigError("store.url", "this is not an address")
        else:
            if password is not None:
                yield ConfigError("store.url", "a password does not belong here; use store.password_file")


def _config(path: Path, document: Mapping[str, Any]) -> Config:
    folder = path.resolve().parent
    service, journal, api, auth, consent = (document[name] for name in ("service", "journal", "api", "auth", "consent"))
    roles, store = consent.get("role_policy"), document["store"]
    return Config(
        path=path.resolve(),
        channel=service["channel"],
        data=folder / service["data"],
        log_level=service["log_level"],
        log_format=service["log_format"],
        workers=service["workers"],
        anchor_seconds=service["anchor_seconds"],
        anchor_leaves=service["anchor_leaves"],
        store=StoreSettings(
            kind=store["kind"],
            url=store.get("url", ""),
            password_file=folder / store["password_file"] if "password_file" in store else None,
            schema=store["schema"],
            connections=store["connections"],
            timeout_seconds=store["timeout_seconds"],
        ),
        journal=JournalSettings(
            applied_days=journal["applied_days"],
            discarded_days=journal["discarded_days"],
            prune_seconds=journal["prune_seconds"],
            key=journal.get("key"),
            keys={name: folder / file for name, file in journal["keys"].items()},
        ),
        contents=ContentSettings(**document["contents"]),
        subscriptions=_subscriptions(folder, document["subscriptions"]),
        alerts=AlertSettings(**document["alerts"]),
        load_folders=tuple((folder / name).resolve() for name in document["migration"]["folders"]),
        host=api["host"],
        port=api["port"],
        base_url=api.get("base_url") or f"http://{api['host']}:{api['port']}/fhir",
        max_body=api["max_body"],
        page_size=api["page_size"],
        clients=folder / auth["clients"] if "clients" in auth else None,
        tenant=auth["tenant"],
        default_policy=consent["default_policy"],
        permit_ceiling=consent["permit_ceiling"],
        privacy_officer_roles=frozenset(consent["privacy_officer_roles"]),
        role_policy={role: frozenset(types) for role, types in roles.items()} if roles else None,
        redactions={role: frozenset(paths) for role, paths in consent.get("redactions", {}).items()},
        references=consent["references"],
        plugins=tuple(document["plugins"]["load"]),
        translators=_instances("translators", document.get("translators", [])),
        feeds=_instances("feeds", document.get("feeds", [])),
        destinations=tuple(
            Outlet(
                instance.key,
                instance.name,
                instance.kind,
                instance.settings,
                feeds=tuple(entry["feeds"]),
                hold=entry["refused"] == "hold",
                retry=entry["retry"],
            )
            for instance, entry in zip(
                _instances("destinations", document.get("destinations", [])),
                document.get("destinations", []),
                strict=True,
            )
        ),
        ledgers=_instances("ledgers", document.get("ledgers", [])),
        consent_rules=_instances("consent_rules", document.get("consent_rules", [])),
    )


def _subscriptions(folder: Path, told: Mapping[str, Any]) -> SubscriptionSettings:
    topics = folder / told["topics"] if "topics" in told else None
    return SubscriptionSettings(**{**told, "endpoints": tuple(told["endpoints"]), "topics": topics})


def _instances(family: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Instance, ...]:
    return tuple(
        Instance(
            key=f"{family}[{number}]",
            name=entry["name"],
            kind=entry["kind"],
            settings=entry["settings"],
            translator=entry.get("translator", ""),
            passing=entry.get("on_failure") == "skip",
        )
        for number, entry in enumerate(entries)
    )


def _dotted(key: str, parts: Iterable[str | int]) -> str:
    for part in parts:
        key = f"{key}[{part}]" if isinstance(part, int) else (f"{key}.{part}" if key else part)
    return key
