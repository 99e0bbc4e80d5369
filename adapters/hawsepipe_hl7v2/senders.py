"""A translator that knows its senders: each message goes to the tables that its overlays make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from hawsepipe import (
    ConfigError,
    Envelope,
    Issue,
    Kind,
    MessageError,
    Opening,
    Piece,
    RawMessage,
    Resource,
    Severity,
    Translation,
    Translator,
)
from hawsepipe_hl7v2 import batches, damage, legible
from hawsepipe_hl7v2.bundles import bundle
from hawsepipe_hl7v2.coded import coded
from hawsepipe_hl7v2.header import read_header
from hawsepipe_hl7v2.naming import Naming
from hawsepipe_hl7v2.overlays import Overlay, advice, read
from hawsepipe_hl7v2.settings import TRANSLATOR_SCHEMA, filled
from hawsepipe_hl7v2.strictness import check
from hawsepipe_hl7v2.tables import Tables, shipped
from hawsepipe_hl7v2.translator import Hl7v2Translator

_SENDERS = 4096
TOO_LONG = Issue(Severity.ERROR, "parse", "", "the message is too long; the rest of it is not read")


class Senders:
    """Translators by sender, one for each set of overlays that fits anybody. Everything is compiled at the start.

    Raises ConfigError for a setting or table that is wrong. `directory` is where the overlays were looked for.
    """

    def __init__(
        self, settings: Mapping[str, Any], tables: Tables, overlays: Sequence[Overlay], directory: Path | None = None
    ) -> None:
        self._settings = filled(TRANSLATOR_SCHEMA, settings)
        self._tables = tables
        self._charset: str = self._settings["charset"]
        self._overlays = tuple(overlays)
        self._directory = directory
        self._known: dict[tuple[str, ...], Hl7v2Translator] = {}
        self._plain = self._made(())
        for overlay in overlays:
            self._made((overlay,))
        digests = [self._plain.rules_digest, *(self._made((overlay,)).rules_digest for overlay in overlays)]
        names = [str(overlay.content["sender"]) for overlay in overlays]
        self._digest = sha256(b"".join(digests) + "\0".join(names).encode()).digest() if overlays else digests[0]
        self._of = lru_cache(maxsize=_SENDERS)(self._chosen)
        self._hint = lru_cache(maxsize=_SENDERS)(self._missed)

    @property
    def media_types(self) -> frozenset[str]:
        """`application/hl7-v2`."""
        return self._plain.media_types

    @property
    def rules_digest(self) -> bytes:
        """SHA-256 over tables, settings and overlays."""
        return self._digest

    @property
    def advice(self) -> tuple[ConfigError, ...]:
        """What overlays do that is probably not meant; see `overlays.advice`."""
        if self._directory is not None and not self._overlays:
            told = f"there is no overlay in {self._directory}: no file whose name ends in .toml"
            return (ConfigError("overlays", told),)
        return advice(self._overlays, self._settings)

    def translate(self, message: RawMessage) -> Translation:
        """See `Hl7v2Translator.translate`."""
        return self._for(message).translate(message)

    def read(self, message: RawMessage) -> Translation:
        """See `Hl7v2Translator.read`. Where there are overlays and none fits the sender, that is an issue too."""
        translation = self._for(message).read(message)
        sender = self._sender(message)
        hint = self._hint(*sender) if sender is not None else None
        return replace(translation, issues=(*translation.issues, hint)) if hint is not None else translation

    def bundle(self, translation: Translation) -> Resource:
        """See `bundles.bundle`."""
        return bundle(translation)

    def split(self, chunks: Iterable[bytes]) -> Iterator[Piece]:
        """See `batches.split`."""
        for part in batches.split(chunks):
            if isinstance(part, batches.Trouble):
                severity = Severity.ERROR if part.lost else Severity.WARNING
                yield Piece(part.offset, b"", (Issue(severity, part.cause, part.location, part.text),))
            else:
                yield Piece(part.offset, part.body, (TOO_LONG,) if part.truncated else ())

    def check(self, message: RawMessage) -> tuple[Issue, ...]:
        """Return what breaks the standard of the message's version; see `strictness`."""
        return tuple(check(damage.read(message.body, self._charset, message.media_type)[0]))

    def value(self, message: RawMessage, location: str) -> str:
        """Return what stands at a v2 location, as text."""
        return damage.read(message.body, self._charset, message.media_type)[0].at(location)

    def envelope(self, message: RawMessage) -> Envelope | None:
        """See `legible.envelope`."""
        return legible.envelope(message)

    def lines(self, message: RawMessage) -> tuple[str, ...]:
        """See `legible.lines`."""
        return legible.lines(message, self._charset)

    def coded(self, location: str) -> bool:
        """See `coded.coded`."""
        return coded(location)

    def _for(self, message: RawMessage) -> Hl7v2Translator:
        sender = self._sender(message)
        return self._of(*sender) if sender is not None else self._plain

    def _sender(self, message: RawMessage) -> tuple[str, str] | None:
        """Return MSH-3.1 and MSH-4.1 if there are overlays that may be for them."""
        if not self._overlays:
            return None
        try:
            header = read_header(message.body)
        except MessageError:
            # Whoever sent it: what is damaged so far is not read by rules of anybody's own.
            return None
        return header.word(3, 1), header.word(4, 1)

    def _missed(self, application: str, facility: str) -> Issue | None:
        """Say that no overlay fits a sender; loudly when one was probably meant to."""
        if any(overlay.fits(application, facility) for overlay in self._overlays):
            return None
        near = [overlay.name for overlay in self._overlays if overlay.nearly(application, facility)]
        if not near:
            return Issue(Severity.INFORMATION, "mapping", "MSH-3", "no overlay fits this sender")
        told = f"no overlay fits this sender; {near[0]} would but for small and capital letters in MSH-3 or MSH-4"
        return Issue(Severity.WARNING, "mapping", "MSH-3", told)

    def _chosen(self, application: str, facility: str) -> Hl7v2Translator:
        return self._made(tuple(overlay for overlay in self._overlays if overlay.fits(application, facility)))

    def _made(self, overlays: tuple[Overlay, ...]) -> Hl7v2Translator:
        names = tuple(overlay.name for overlay in overlays)
        if names in self._known:
            return self._known[names]
        settings, tables = self._settings, self._tables
        for overlay in overlays:
            settings = overlay.settings(settings)
        naming = Naming(settings["systems"], tables.coding_systems)
        for overlay in overlays:
            tables = overlay.over(tables, naming)
        try:
            made = self._known[names] = Hl7v2Translator(settings, tables)
        except ConfigError as error:
            if not overlays:
                raise
            raise ConfigError(f"overlays: {overlays[-1].name}: {error.key}", error.reason) from error
        return made


@asynccontextmanager
async def open_translator(opening: Opening) -> AsyncIterator[Translator]:
    """Read the overlays and compile the tables with the settings of one translator."""
    directory = opening.settings.get("overlays")
    place = opening.base / directory if directory is not None else None
    overlays = read(place, shipped()) if place is not None else ()
    settings = {name: value for name, value in opening.settings.items() if name != "overlays"}
    yield Senders(settings, shipped(), overlays, place)


KIND: Kind[Translator] = Kind("hl7v2", TRANSLATOR_SCHEMA, open_translator)
