"""One resource or Bundle of another version of FHIR, converted to R4 (4.0.1). Pure, and safe between threads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hawsepipe import MessageError, Resource
from hawsepipe_fhir import definitions, tables
from hawsepipe_fhir.bench import Job, Json, Loss, Move, Note, count, leaves
from hawsepipe_fhir.compiler import Compiler
from hawsepipe_fhir.completion import complete
from hawsepipe_fhir.names import Names
from hawsepipe_fhir.restoration import Restoration

NUMBERS = {"dstu2": "1.0", "stu3": "3.0", "r5": "5.0"}
"""The versions that are converted, with the number that extension URLs use."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of one resource.

    `resource` is R4. `moves` names for every leaf of the source that has a place the place; `losses` everything that
    has none, and why: together they name every leaf. `notes` say what was written that the source does not say
    (required elements of R4, kept codes). Paths are FHIRPath without the root type.
    """

    resource: Resource
    moves: tuple[Move, ...]
    losses: tuple[Loss, ...]
    notes: tuple[Note, ...]


class Converter:
    """The compiled tables of one version."""

    def __init__(self, version: str) -> None:
        """Compile. Raises ConfigError for a version that has no tables, or a table that does not fit."""
        held = tables.shipped(version)
        self.compiler = Compiler(held, definitions.source(version), definitions.r4(), NUMBERS[version])
        self._names = Names(self.compiler.homes)

    def convert(self, resource: Resource) -> Conversion:
        """Convert one resource. Raises MessageError for what is no resource of the version."""
        job = Job(self._names.renaming(resource))
        made = self.compiler.resource(resource, "", None, job, "")
        if made is None:
            raise MessageError("structure", "resourceType", "is no resource type of this version of FHIR")
        restoration = Restoration(self.compiler.target, job)
        restoration.resource(made)
        restoration.finish()
        complete(job, self.compiler.target, self.compiler.fixed)
        losses = list(job.losses)
        if count(resource) != len({move.source for move in job.moves}):
            losses += _forgotten(resource, job)
        return Conversion(made, tuple(job.moves), tuple(losses), tuple(job.notes))


def _forgotten(resource: Json, job: Job) -> list[Loss]:
    """Return a loss for each leaf that nothing speaks of."""
    moved = {move.source for move in job.moves}
    lost = tuple(loss.source for loss in job.losses)
    return [
        Loss(leaf, "R4 has no place for it")
        for leaf in leaves(resource, "")
        if leaf not in moved and not _covered(leaf, lost)
    ]


def _covered(leaf: str, lost: tuple[str, ...]) -> bool:
    return any(leaf == path or (leaf.startswith(path) and leaf[len(path)] in ".[") for path in lost)


@cache
def converter(version: str) -> Converter:
    """Return the converter of a version, compiled once."""
    return Converter(version)


def convert(resource: Resource, version: str) -> Conversion:
    """Convert a resource or Bundle of `dstu2`, `stu3` or `r5`; one of `r4` stays as it is.

    Raises MessageError for what is no resource of the version, KeyError for a version that is not converted.
    """
    if version == "r4":
        return Conversion(resource, tuple(Move(leaf, leaf, True) for leaf in leaves(resource, "")), (), ())
    if version not in NUMBERS:
        raise KeyError(version)
    return converter(version).convert(resource)
