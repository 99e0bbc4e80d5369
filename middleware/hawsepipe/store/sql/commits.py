"""Commits transactions: draft, seal, then put content, outbox, search rows, facets and patients onto the sheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from hawsepipe.errors import HawsepipeError, PreconditionFailed
from hawsepipe.fhir.codec import decode
from hawsepipe.fhir.dates import microseconds
from hawsepipe.fhir.identity import Named
from hawsepipe.fhir.index import Grouped, grouped
from hawsepipe.fhir.provenance import Place, lines, superseded, unchanged
from hawsepipe.fhir.provenance import targets as targets_of
from hawsepipe.model import Method, Seal, Transaction, Version
from hawsepipe.store.answers import Held, Rehearsed
from hawsepipe.store.contract import Application, Expectation, Extractor, Labeller, Sealer, Validator
from hawsepipe.store.preparation import unprepared
from hawsepipe.store.prepared import PreparedTransaction, Sight, Told
from hawsepipe.store.redirection import redirected, spoken_of
from hawsepipe.store.sql import journal
from hawsepipe.store.sql.connection import NAMED_AS
from hawsepipe.store.sql.current import Current
from hawsepipe.store.sql.drafting import Drafting, Planned, current_of
from hawsepipe.store.sql.indexing import NOTHING, found_by, indexed
from hawsepipe.store.sql.instants import instant
from hawsepipe.store.sql.meeting import Meeting
from hawsepipe.store.sql.ownership import strangers
from hawsepipe.store.sql.pen import Pen
from hawsepipe.store.sql.search import search
from hawsepipe.store.sql.sheet import Sheet, Stand
from hawsepipe.store.sql.versions import currents, row_key
from hawsepipe.store.sql.writer import unexpected
from hawsepipe.visibility import Facets, Subject, joined

_KEPT = 2048
"""Facets of versions that are remembered."""

_NO_FACETS = Facets()
_NO_SIGHT = Sight.of(grouped(()), _NO_FACETS)
_NAMED_AS = NAMED_AS.partition("?")[2]
Outcome = tuple[Version, ...] | HawsepipeError | Held
"""The answer for one message of a batch."""


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
    _seen: dict[bytes, Facets] = field(default_factory=dict)
    """Facets of versions that were there before, by their commitments: messages name the same wards and doctors."""

    def commit(
        self,
        pen: Pen,
        transaction: Transaction,
        *,
        expected: Sequence[Expectation] = (),
        beside: Sequence[Transaction] = (),
        now: int = 0,
    ) -> tuple[Version, ...]:
        """Commit a transaction inside the open one; `now` is when searches are made. See `Store.commit`."""
        for expectation in expected:
            page = search(pen.connection, expectation.query, expectation.visibility, now, self.base_url)
            if tuple(version.reference for version in page.versions) != expectation.found:
                raise PreconditionFailed("what was found before is not what there is now")
        sheet = Sheet()
        met = Meeting(pen, sheet, ())
        made = self._draft(pen, sheet, met, transaction)
        for other in beside:
            self._draft(pen, sheet, met, other)
        sheet.write(pen)
        return made

    def apply(self, pen: Pen, applications: Sequence[Application], micros: int) -> list[Outcome]:
        """Commit the effects of messages, each on its own; `micros` is when they are settled. See `Store.apply`.

        Drafting writes nothing, so one that fails is struck out and the others are written together. Should they not
        let themselves be written together, each is tried alone.
        """
        before = pen.mark()
        sheet = Sheet()
        applications = [_alike(application) for application in applications]
        waiting = journal.waiting(pen.connection, [application.sequence for application in applications])
        meet(pen, [application.transaction for application in applications if application.sequence in waiting])
        meeting = Meeting(pen, sheet, [_named(application) for application in applications])
        outcomes = [self._applied(pen, sheet, meeting, application, micros, waiting) for application in applications]
        try:
            with pen.savepoint():
                sheet.write(pen)
        except pen.connection.fatal:
            raise
        except Exception:
            # One message's rows spoil the sheet. Which one shows when each is tried alone; its error is answered there.
            if not pen.connection.in_transaction:
                raise
            pen.back(before)
            waiting = journal.waiting(pen.connection, [application.sequence for application in applications])
            outcomes = [self._alone(pen, application, micros, waiting) for application in applications]
        return outcomes

    def draft(
        self, pen: Pen, sheet: Sheet, meeting: Meeting, transaction: Transaction | PreparedTransaction
    ) -> tuple[Version, ...] | HawsepipeError:
        """Put what one of several transactions writes onto the sheet; one that fails leaves nothing there."""
        mark, struck = pen.mark(), sheet.mark()
        try:
            return self._draft(pen, sheet, meeting, transaction)
        except pen.connection.fatal:
            raise
        except Exception as error:
            if not pen.connection.in_transaction:
                raise
            pen.back(mark)
            sheet.back(struck)
            return error if isinstance(error, HawsepipeError) else unexpected(error)

    def rehearse(self, pen: Pen, transaction: Transaction | PreparedTransaction) -> list[Rehearsed]:
        """Draft a transaction as `apply` does and forget it."""
        prepared = unprepared(transaction) if isinstance(transaction, Transaction) else transaction
        mark, sheet = pen.mark(), Sheet()
        try:
            drafting = self._drafting(pen, prepared)
            told = _moved(prepared, Meeting(pen, sheet, [prepared.named]), drafting)
            places = list(dict.fromkeys((change.type, change.id) for change in told.changes))
            for change in told.changes:
                drafting.change(change)
            after = {(it.draft.type, it.draft.id): it.draft.content for it in drafting.planned}
            before = {place: drafting.stored(*place) for place in places}
            return [Rehearsed(*place, before[place], after.get(place, before[place])) for place in places]
        finally:
            pen.back(mark)

    def _drafting(self, pen: Pen, transaction: Transaction | PreparedTransaction) -> Drafting:
        micros = max(microseconds(transaction.instant), pen.state.instant + 1)
        told = transaction.event_time
        event = None if told is None else microseconds(told)
        return Drafting(pen, instant(micros), self.labeller, self.validator, self.base_url, event)

    def _alone(self, pen: Pen, application: Application, micros: int, waiting: set[int]) -> Outcome:
        """Draft and write the effect of one message."""
        sheet = Sheet()
        try:
            with pen.savepoint():
                meeting = Meeting(pen, sheet, [_named(application)])
                outcome = self._applied(pen, sheet, meeting, application, micros, waiting)
                sheet.write(pen)
                return outcome
        except pen.connection.fatal:
            raise
        except Exception as error:
            if not pen.connection.in_transaction:
                raise
            waiting.add(application.sequence)
            return unexpected(error)

    def _applied(
        self, pen: Pen, sheet: Sheet, meeting: Meeting, application: Application, micros: int, waiting: set[int]
    ) -> Outcome:
        """Draft the effect of one message onto the sheet; one that fails leaves nothing there and goes on waiting."""
        sequence = application.sequence
        if sequence not in waiting:
            return ()
        mark, struck = pen.mark(), sheet.mark()
        made: tuple[Version, ...] = ()
        refusal = application.refusal
        behind: int | None = None
        try:
            if pen.lanes or (refusal is not None and application.hold):
                behind = _in_lane(pen, sheet, meeting, application)
            if behind is None:
                if application.transaction is not None and refusal is None:
                    made = self._draft(pen, sheet, meeting, application.transaction)
                sheet.settle(journal.settled(sequence, application.label, refusal, micros))
            else:
                sheet.settle(journal.held(sequence, application.label))
            whom = made[-1].patients if made else _people(pen, meeting, application)
            sheet.concern(sequence, map(pen.people.key, whom))
        except pen.connection.fatal:
            raise
        except Exception as error:
            if not pen.connection.in_transaction:
                raise
            pen.back(mark)
            sheet.back(struck)
            if application.hold:
                # It is a letter from now on: what follows in this very batch waits already.
                _hold(pen, meeting, application)
            return error if isinstance(error, HawsepipeError) else unexpected(error)
        waiting.discard(sequence)
        pen.count(backlog=pen.state.backlog - 1)
        return made if behind is None else Held(behind)

    def _draft(
        self, pen: Pen, sheet: Sheet, meeting: Meeting, transaction: Transaction | PreparedTransaction
    ) -> tuple[Version, ...]:
        """Put what a transaction writes onto the sheet; return what it answers."""
        micros = max(microseconds(transaction.instant), pen.state.instant + 1)
        drafting = self._drafting(pen, transaction)
        if isinstance(transaction, PreparedTransaction):
            transaction = _moved(transaction, meeting, drafting)
        steps = drafting.changes(transaction.changes)
        for place, (current, newest) in drafting.heard.items():
            sheet.heard(current.key, newest)
            pen.currents.put(place, replace(current, event=newest))
        planned = list(drafting.planned)
        there: Sequence[Version] = ()
        draft = transaction.draft if isinstance(transaction, PreparedTransaction) else Told.of(transaction.provenance)
        if transaction.source is not None and draft is not None:
            sources = draft.sources
            if all(f"{it.draft.type}/{it.draft.id}" in sources for it in planned):
                there = list({it.reference: it for it in steps if isinstance(it, Version) and it.content}.values())
        if not planned and not there:
            return tuple(step for step in steps if isinstance(step, Version))
        provenance = _provenance(drafting, transaction, there)
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
        made = self._record(pen, sheet, micros, sealed, there)
        return _results(steps, made, provenance)

    def _record(
        self, pen: Pen, sheet: Sheet, micros: int, sealed: Sequence[tuple[Planned, Seal]], there: Sequence[Version]
    ) -> dict[int, Version]:
        """Collect the versions; return them by the identity of their plan. `there` are targets from before."""
        state = pen.state
        leaves, resources, epoch = state.leaves, state.resources, 0
        keys: dict[tuple[str, str], int] = {}
        made: dict[int, Version] = {}
        facets = self._facets([planned for planned, _ in sealed], micros, there)
        for planned, seal in sealed:
            draft = planned.draft
            place = (draft.type, draft.id)
            key = keys.get(place, planned.key)
            if key is None:
                key = resources = resources + 1
            keys[place] = key
            leaves += 1
            sheet.version(
                (
                    row_key(key, draft.version),
                    micros,
                    draft.operation.value,
                    " ".join(draft.patients),
                    seal.commitment,
                    seal.opening,
                    seal.salt,
                    draft.content,
                ),
                leaves,
                seal.commitment,
            )
            version = made[id(planned)] = planned.sealed(seal)
            if planned.last:
                tables = self._stand(pen, sheet, key, planned, facets.get(id(planned), _NO_FACETS), micros)
                current = Current(key, tables, version, planned.event, labelled=True)
                if planned.effect is not None and planned.effect[0] in (Method.MERGE, Method.PUT):
                    current.remember(planned.effect)  # once more, it changes nothing
                pen.currents.put(place, current)
            pen.stored.append(draft.type)
            epoch |= planned.decisive
        pen.count(leaves=leaves, resources=resources, epoch=state.epoch + epoch, instant=micros)
        return made

    def _facets(self, plans: Sequence[Planned], micros: int, there: Sequence[Version]) -> dict[int, Facets]:
        """Return what visibility formulas ask of the versions of a transaction of which it was not worked out
        beforehand, by the identity of their plan.

        Those of a Provenance are joined from all that it names of this transaction.
        """
        told = [planned for planned in plans if planned.draft.type == "Provenance" and _to_join(planned)]
        asked = plans if told else [planned for planned in plans if planned.last and _to_join(planned)]
        found = {
            id(planned): self.labeller.facets(planned.about) if planned.sight is None else planned.sight.facets
            for planned in asked
        }
        if told:
            subjects = {
                Place(it.draft.type, it.draft.id, it.draft.version): _subject(it, found[id(it)], micros) for it in plans
            } | {Place(it.type, it.id, it.version): self._known(it) for it in there}
            for planned in told:
                own = _subject(planned, found[id(planned)], micros)
                targets = [None if place is None else subjects.get(place) for place in targets_of(planned.about)]
                found[id(planned)] = joined(own, targets)
        return found

    def _known(self, version: Version) -> Subject:
        """Return a version that was there before as decisions see it."""
        recorded, updated = microseconds(version.first_recorded), microseconds(version.last_updated)
        facets = self._seen.get(version.commitment)
        if facets is None:
            facets = self._seen[version.commitment] = self.labeller.facets(decode(version.content or b""))
            if len(self._seen) > _KEPT:
                del self._seen[next(iter(self._seen))]
        return Subject(version.type, version.id, version.patients, recorded, updated, facets)

    def _stand(self, pen: Pen, sheet: Sheet, key: int, planned: Planned, facets: Facets, micros: int) -> int:
        """Make a version the current one of its resource: it is found by its own rows and no longer by those of the
        one before. Return which side tables they are in.
        """
        draft, sight = planned.draft, planned.sight
        found = NOTHING
        if not planned.present:
            sight = _NO_SIGHT
        else:
            if sight is None:
                sight = Sight.of(self._rows(planned), facets)
            found = found_by(pen, key, draft.type, sight, draft.patients)
            if draft.type == "Patient":
                tokens = ((system, value) for name, system, value in sight.rows.tokens if name == "identifier")
                sheet.identified(draft.id, tokens)
        tables = indexed(found)
        row = (
            draft.version,
            int(not planned.present),
            micros,
            sight.rank,
            sight.clinical_start,
            sight.clinical_end,
            tables,
            planned.event,
            pen.common.key(sight.common),
            key,
        )
        named = None
        if planned.key is None:
            named = (pen.symbols.key(draft.type), draft.id, microseconds(planned.first_recorded))
        sheet.stand(key, Stand(row, named, planned.indexed, found))
        return tables

    def _rows(self, planned: Planned) -> Grouped:
        """Return what a version is found by: a Provenance also by what its message spoke of."""
        rows = grouped(self.extractor.rows(planned.about))
        if planned.draft.type != "Provenance":
            return rows
        spoken = ((_NAMED_AS, type_, id_, "") for type_, id_ in spoken_of(planned.about))
        return rows._replace(references=(*rows.references, *spoken))


def _provenance(
    drafting: Drafting, transaction: Transaction | PreparedTransaction, there: Sequence[Version]
) -> Planned | None:
    """Draft the Provenance of what was drafted, or of what is `there`, if the transaction has one."""
    late = drafting.late
    if isinstance(transaction, PreparedTransaction):
        story, told = transaction.story, transaction.draft
        if story is not None and told is not None and not late and not there:
            foretold = drafting.foretold(told.id, story)
            if foretold is not None:
                return foretold
        trail = story.lines if story is not None and late else transaction.lines
    else:
        story, trail = None, lines(transaction.trail)
    draft = transaction.provenance
    if draft is None:
        return None
    draft = superseded(draft, late)
    if there:
        return drafting.provenance(unchanged(draft), {}, None, there)
    return drafting.provenance(draft, trail, None if late else story)


def meet(pen: Pen, transactions: Iterable[Transaction | PreparedTransaction | None]) -> None:
    """Read what the transactions name, all at once: most of it is not there."""
    places: list[tuple[str, str]] = []
    for transaction in transactions:
        if transaction is not None:
            places += [(change.type, change.id) for change in transaction.changes]
            if isinstance(transaction, PreparedTransaction):
                if transaction.draft is not None:
                    places.append(("Provenance", transaction.draft.id))
            elif transaction.provenance is not None:
                places.append(("Provenance", str(transaction.provenance["id"])))
    unknown = pen.currents.unknown(places)
    names = [(pen.symbols.key(type_), type_, id_) for type_, id_ in unknown]
    for place, current in zip(unknown, currents(pen.connection, names), strict=True):
        if current is None:
            pen.currents.miss(place)
        else:
            pen.currents.put(place, current)


def _to_join(planned: Planned) -> bool:
    return planned.present and planned.sight is None


def _moved(transaction: PreparedTransaction, meeting: Meeting, drafting: Drafting) -> PreparedTransaction:
    """Return the transaction about those whom it means."""
    moves = meeting.moves(transaction.named, drafting.stored) if transaction.named else {}
    told = redirected(transaction, moves) if moves else transaction
    others = strangers(told.changes, drafting.found, drafting.last, drafting.base_url)
    return redirected(told, others) if others else told


def _named(application: Application) -> Sequence[Named]:
    """Return whom a message names."""
    transaction = application.transaction
    return transaction.named if isinstance(transaction, PreparedTransaction) else application.named


def _in_lane(pen: Pen, sheet: Sheet, meeting: Meeting, application: Application) -> int | None:
    """Put a letter into the lanes of those whom it is about, take what is settled out of them; return behind which
    entry a message has to wait instead.
    """

    sequence = application.sequence
    if application.refusal is not None and application.hold and _hold(pen, meeting, application):
        return None
    people = _people(pen, meeting, application)
    behind = pen.lanes.ahead(sequence, people) if application.refusal is None else None
    if behind is not None:
        pen.lanes.hold(sequence, people)
    elif sequence in pen.lanes:
        sheet.release(pen.lanes.free(sequence))
    return behind


def _hold(pen: Pen, meeting: Meeting, application: Application) -> bool:
    """Put a message into the lanes of those whom it is about; return whether it is about anybody."""
    people = _people(pen, meeting, application)
    if people:
        pen.lanes.hold(application.sequence, people)
    return bool(people)


def _people(pen: Pen, meeting: Meeting, application: Application) -> tuple[str, ...]:
    def stored(type_: str, id_: str) -> bytes | None:
        current = current_of(pen, type_, id_)
        return None if current is None else current.version.content

    return meeting.people(_named(application), stored)


def _alike(application: Application) -> Application:
    """Return an application with a prepared transaction, so that all are met and applied in one way."""
    if not isinstance(application.transaction, Transaction):
        return application
    try:
        return replace(application, transaction=unprepared(application.transaction))
    except HawsepipeError:
        return application  # drafting finds the same and answers for it


def _subject(planned: Planned, facets: Facets, micros: int) -> Subject:
    draft = planned.draft
    return Subject(draft.type, draft.id, draft.patients, microseconds(planned.first_recorded), micros, facets)


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
            version = made[id(step)]
            results.append(replace(version, changed=False) if id(step) in told else version)
            told.add(id(step))
    if provenance is not None:
        results.append(made[id(provenance)])
    return tuple(results)
