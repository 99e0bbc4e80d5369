"""Where a compilation is."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a compilation is: the table's type, the R4 type that it goes to, and the open places by their paths.

    `owner` and `below` give the children, `path` is where they are in the table's type. A `clear` element has no
    object of its own in R4: only what has a row inside it moves; a `merged` one shares the object that is open.

    Rows spell a target as R4 writes it from the type (`entity.agent.who`), but an element that refers to another is
    where that one is (`agent.who`): `spelt` has, for the elements of the source that are open, its path, the path as
    rows spell it, and the path of the place.
    """

    table: str
    root: str
    owner: str
    below: str = ""
    path: str = ""
    bases: tuple[str, ...] = ("",)
    spelt: tuple[tuple[str, str, str], ...] = ()
    clear: bool = False
    merged: bool = False

    def place(self, to: str) -> str:
        """Return a path as rows spell it as one that starts at a place."""
        known = [it for it in self.spelt if to == it[1] or to.startswith(f"{it[1]}.")]
        if not known:
            return to
        _, written, base = max(known, key=lambda it: len(it[1]))
        return base + to[len(written) :]

    def spelling(self, to: str) -> str:
        """Return how rows spell a path that starts at the innermost place."""
        if not self.spelt or not to.startswith(f"{self.spelt[-1][2]}."):
            return to
        return self.spelt[-1][1] + to[len(self.spelt[-1][2]) :]

    def into(self, path: str, written: str, base: str) -> Scope:
        """Return the scope with one more open place."""
        bases = self.bases[: self.bases.index(base)] if base in self.bases else self.bases
        written = next((it[1] for it in self.spelt if it[0] == path), written)
        spelt = tuple(it for it in self.spelt if path.startswith(f"{it[0]}."))
        return replace(self, bases=(*bases, base), spelt=(*spelt, (path, written, base)))
