"""Commits transactions: draft, seal, then write content, outbox, search rows, facets and patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hawsepipe.errors import HawsepipeError
from hawsepipe.fhir.dates import microseconds
from hawsepipe.model import Seal, Transaction, Version
from hawsepipe.store.contract import ACTORS, Application, Extractor, Labeller, Sealer, Validator
from hawsepipe.store.sqlite import indexing, journal, log
from hawsepipe.store.sqlite.connection import FATAL
from hawsepipe.store.sqlite.drafting import Drafting, Planned
from hawsepipe.store.sqlite.instants import instant
from hawsepipe.store.sqlite.pen import Pen
from hawsepipe.store.sqlite.versions import row_key
from hawsepipe.store.sqlite.writer import unexpected
from hawsepipe.store.visibility import Facets

_DECISIVE = ACTORS | {"Consent"}
_NO_FACETS = Facets()
_COLUMNS = ("version", "deleted", "last_updated", "rank", "clinical_start", "clinical_end", "indexed")
_UPDATE = f"UPDATE resource SET {' = ?, '.join(_COLUMNS)} = ? WHERE key = ?"  # noqa: S608  our own columns
_INSERT = f"INSERT INTO resource ({', '.join(_COLUMNS)}, key, type, id, first_recorded) VALUES ({', '.join('?' * 11)})"  # noqa: S608  our own columns


@dataclass(frozen=True, slots=True)
class Commits:
    """The writing half of the store for resources; `sealer` and the others are what it was opened with.

    `base_url` is our own address: references to patients below it count as ours.
    """

    sealer: Sealer
    labeller: Labeller
    extractor: Extractor
    validator: Validator
    base_url: str = ""

    def commit(self, pen: Pen, transaction: Transaction) -> tuple[Version, ...]:
        """Commit a transaction inside the open one; see `Store.commit`."""
        micros = max(microseconds(transaction.instant), pen.state.instant + 1)
        drafting = Drafting(pen, instant(micros), self.labeller, self.validator, self.base_url)
        steps = [drafting.change(change) for change in transaction.changes]
        planned = list(drafting.planned)
        if not planned:
            return tuple(step for step in steps if isinstance(step, Version))
        provenance: Planned | None = None
        if transaction.provenance is not None:
            provenance = drafting.provenance(transaction.provenance, transaction.trail)
        seals, seal = self.sealer.seal(
            [entry.draft for entry in planned],
            provenance.draft if provenance is not None else None,
            transaction.source,
            transaction.rules,
        )
        sealed = list(zip(planned, seals, strict=True))
        if provenance is not None:
            if seal is None:
                raise HawsepipeError("the sealer did not seal the Provenance")
            # First, so that its place in the log is before those of the versions that name it.
            sealed.insert(0, (provenance, seal))
        made = self._record(pen, micros, sealed)
        pen.count(instant=micros)
        return _results(steps, made, provenance)

    def apply(
        self, pen: Pen, applications: Sequence[Application], micros: int
    ) -> list[tuple[Version, ...] | HawsepipeError]:
        """Commit the effects of messages, each on its own; `micros` is when they are settled. See `Store.apply`."""
        outcomes: list[tuple[Version, ...] | HawsepipeError] = []
        for application in applications:
            try:
                with pen.savepoint():
                    outcomes.append(self._apply(pen, application, micros))
            except HawsepipeError as error:
                outcomes.append(error)
            except FATAL:
                raise
            except Exception as error:
                if not pen.connection.in_transaction:
                    raise
                outcomes.append(unexpected(error))
        return outcomes

    def _apply(self, pen: Pen, application: Application, micros: int) -> tuple[Version, ...]:
        if not journal.is_received(pen.connection, application.sequence):
            return ()
        made: tuple[Version, ...] = ()
        if application.transaction is not None and application.refusal is None:
            made = self.commit(pen, application.transaction)
        journal.settle(pen, application.sequence, application.label, application.refusal, micros)
        return made

    def _record(self, pen: Pen, micros: int, sealed: Sequence[tuple[Planned, Seal]]) -> dict[int, Version]:
        """Write the versions; return them by the identity of their plan."""
        rows = indexing.Rows(pen)
        keys: dict[tuple[str, str], int] = {}
        contents: list[tuple[object, ...]] = []
        made: dict[int, Version] = {}
        for planned, seal in sealed:
            draft = planned.draft
            place = (draft.type, draft.id)
            key = keys.get(place, planned.key)
            if key is None:
                key = pen.state.resources + 1
                pen.count(resources=key)
            if planned.last:
                self._stand(pen, key, planned, micros, rows)
            keys[place] = key
            contents.append(
                (
                    row_key(key, draft.version),
                    micros,
                    draft.operation.value,
                    " ".join(draft.patients),
                    seal.commitment,
                    seal.opening,
                    seal.salt,
                    draft.content,
                )
            )
            made[id(planned)] = replace(
                planned.unsealed, commitment=seal.commitment, opening=seal.opening, salt=seal.salt
            )
            pen.stored.append(draft.type)
        pen.connection.executemany("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?, ?, ?)", contents)
        rows.write()
        log.enqueue(pen, [seal.commitment for _, seal in sealed])
        if any(planned.draft.type in _DECISIVE for planned, _ in sealed):
            pen.count(epoch=pen.state.epoch + 1)
        return made

    def _stand(self, pen: Pen, key: int, planned: Planned, micros: int, rows: indexing.Rows) -> None:
        """Make a version the current one of its resource: it is found by its own rows and no longer by those of the
        one before.
        """
        resource = planned.resource
        draft, facets, indexed = planned.draft, _NO_FACETS, 0
        if resource is not None:
            facets = self.labeller.facets(resource)
            found = self.extractor.rows(resource)
            indexed = rows.replace(key, planned.indexed, draft.type, found, facets, draft.patients)
        elif planned.indexed:
            rows.replace(key, planned.indexed, draft.type, (), facets, ())
        values = (
            draft.version,
            int(resource is None),
            micros,
            facets.rank,
            facets.clinical_start,
            facets.clinical_end,
            indexed,
            key,
        )
        if planned.key is not None:
            pen.connection.execute(_UPDATE, values)
        else:
            named = (pen.symbols.key(draft.type), draft.id, microseconds(planned.first_recorded))
            pen.connection.execute(_INSERT, (*values, *named))


def _results(
    steps: Sequence[Planned | Version], made: dict[int, Version], provenance: Planned | None
) -> tuple[Version, ...]:
    results: list[Version] = []
    told: set[int] = set()
    for step in steps:
        if isinstance(step, Version):
            results.append(step)
        else:
            # A change that had no effect on a version of this very transaction names the same plan again.
            results.append(replace(made[id(step)], changed=id(step) not in told))
            told.add(id(step))
    if provenance is not None:
        results.append(made[id(provenance)])
    return tuple(results)
