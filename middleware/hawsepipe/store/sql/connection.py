"""What the statements of a store are run by: the few calls that both databases offer, each from threads of ours.

Statements are written in words that SQLite and PostgreSQL share, or in SQLite's where there are none;
`store.postgres.dialect` says those in PostgreSQL's. What a planner is told, and what only one of them can do, is in
`Bindings` and in the calls below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from hawsepipe.errors import StoreError
from hawsepipe.store.sql.binding import Bindings

VERSION_BITS: Final = 24
"""Bits of a version's row key that hold the version number."""

NAMED_AS: Final = "Provenance?:named-as"
"""The interned parameter of `identity.KNOWN_AS`; no search parameter has a colon in its code."""


class Rows(Protocol):
    """What a statement gave."""

    @property
    def get(self) -> Any:
        """The only value, the only row if it has several, all rows if there are several, None if there is none."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """One connection; used by one thread at a time."""

    fatal: tuple[type[Exception], ...]
    """Errors that lose everything of the open transaction; others concern one statement."""

    errors: tuple[type[Exception], ...]
    """All errors of the database."""

    broken: type[Exception]
    """The fatal error that stands for a transaction which is gone."""

    def execute(self, statements: str, bindings: Any = None, /) -> Rows:
        """Run a statement with values for its `?` in their order, for `?1`, `?2` … or by name."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Any], /) -> Any:
        """Run a statement for each of the values."""
        ...

    def insert(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table; for many this is the fast way."""
        ...

    def changes(self) -> int:
        """Return how many rows the newest statement changed."""
        ...

    def total_changes(self) -> int:
        """Return a number that grows with each row that is changed."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, though it may be one that can only be rolled back."""
        ...

    def begin(self) -> bool:
        """Begin a transaction that writes, as the only one; say whether anything may have been written since the last
        one by somebody else.
        """
        ...

    def stir(self) -> None:
        """Note that who else has the store open wants to know of this commit: of messages, or of commitments."""
        ...

    def finish(self) -> None:
        """Commit; when this returns, what was written is on the disk."""
        ...

    def look(self) -> None:
        """Begin a transaction that only reads, all of it as of one moment."""
        ...

    def committed(self) -> None:
        """Do what is due between two transactions, so that no caller waits for it."""
        ...

    def relieve(self) -> None:
        """Say that what this transaction has to do with is large: no memory is to be kept for it afterwards."""
        ...

    def undone(self) -> None:
        """Roll back what is open, and see to it that what was not committed stays so."""
        ...

    def bindings(self) -> Bindings:
        """Return a place for the values of a search."""
        ...

    def array(self, values: Iterable[int] | Iterable[str]) -> Any:
        """Return values as one that stands in `IN (SELECT value FROM json_each(?))`."""
        ...

    def kept(self, content: bytes | None, key: int) -> bytes | None:
        """Return a version's content as it is written. (Statements open it: `opened(content, key)`.)"""
        ...

    def sealed(self, body: bytes, digest: bytes) -> tuple[str | None, bytes]:
        """Return a message's body as it is written, and the name of its key. (`unsealed(sealed, body, digest)`.)"""
        ...

    def wiping(self) -> AbstractContextManager[None]:
        """Let what is deleted inside leave no bytes behind, as far as the database can."""
        ...

    def give_back(self, pages: int) -> int:
        """Give so many unused pages back to the file system; return how many are left."""
        ...

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of the database's, without its words."""
        ...

    def close(self) -> None:
        """Close it."""
        ...
