"""What resources are checked, labelled and indexed with: the same for the store, the service and its workers."""

from __future__ import annotations

from hawsepipe.config import Config
from hawsepipe.consent.labels import Labels
from hawsepipe.contents.disk import DiskContents
from hawsepipe.contents.taking import Taking
from hawsepipe.fhir import definitions
from hawsepipe.fhir.extraction import Extractor
from hawsepipe.fhir.validate import Validator
from hawsepipe.service.credentials import content_key
from hawsepipe.store.preparation import Preparation
from hawsepipe.store.vault import Vault, read_keys


def labeller(config: Config) -> Labels:
    """Return what labels resources."""
    return Labels(base_url=config.base_url)


def extractor(config: Config) -> Extractor:
    """Return what says by what resources are found."""
    return Extractor(definitions.load(), config.base_url)


def validator() -> Validator:
    """Return what checks resources."""
    return Validator(definitions.load())


def vault(config: Config) -> Vault:
    """Return what raw content is sealed with. Raises ConfigError naming the key file that does not do."""
    return Vault(read_keys(config.journal.keys), config.journal.key)


def preparation(config: Config) -> Preparation:
    """Return what works changes out with these."""
    return Preparation(labeller(config), extractor(config), validator(), config.base_url)


def taking(config: Config) -> Taking:
    """Return what keeps large content. Raises ConfigError when its key is missing."""
    contents = DiskContents(config.data / "contents", vault(config))
    return Taking(contents, content_key(config.data / "keys" / "content.key"), config.contents.inline_bytes)
