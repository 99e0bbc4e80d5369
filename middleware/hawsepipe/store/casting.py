"""Makes first versions of the casts that it knows (`casts`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from hawsepipe.fhir.primitives import fits
from hawsepipe.store.casts import Cast, Shape, only_time, put
from hawsepipe.store.elementwise import ElementLabeller
from hawsepipe.store.prepared import Sight
from hawsepipe.store.wholes import Element, Meta, Whole, plain
from hawsepipe.visibility import Facets

_KEPT: Final = 512
"""Casts that are remembered."""

_LARGEST: Final = 16_384
"""Bytes of a resource whose cast is remembered."""


class Casting:
    """For one thread at a time. `element` works an element of a type out by its name and its JSON; it may raise."""

    def __init__(self, labeller: ElementLabeller[Any], element: Callable[[str, str, bytes], Element]) -> None:
        self._labeller = labeller
        self._element = element
        self._casts: dict[tuple[Any, ...], Cast | None] = {}
        """Casts by shape, None for a shape that has none."""
        self._met: dict[tuple[Any, ...], None] = {}
        self._nothings: dict[str, Facets] = {}

    def again(self, shape: Shape) -> bool:
        """Say whether a shape comes again whose cast was never made: to make it takes longer than it saves once."""
        if shape.key in self._casts or len(shape.rest) > _LARGEST:
            return False
        if shape.key in self._met:
            return True
        self._met[shape.key] = None
        if len(self._met) > _KEPT:
            del self._met[next(iter(self._met))]
        return False

    def keep(self, shape: Shape, cast: Cast | None) -> None:
        """Remember the cast of a shape, or that it has none."""
        self._casts[shape.key] = cast
        if len(self._casts) > _KEPT:
            del self._casts[next(iter(self._casts))]

    def whole(self, kind: str, id_: str, joined: Collection[str], shape: Shape) -> Whole | None:
        """Return the first version of a resource if its shape is known; None also if an element that is looked at by
        itself gives something else than the one that the cast was made with.
        """
        cast = self._casts.get(shape.key)
        if cast is None or not fits("id", id_):
            return None
        names, rest = shape.names, shape.rest
        alone: list[Element] = []
        for it in cast.alone:
            written = put(it.text, names)
            element = self._element(kind, it.name, written)
            if (
                not (element.single if it.single else element.right)
                or tuple([place for place, _ in element.rows]) != it.classes
                or element.existing != it.existing
                or element.traits.labels != it.labels
                or (it.name in joined and not plain(element))
            ):
                return None
            alone.append(element)
        ids = {hole: names[number].decode() for hole, number in cast.ids}
        known = cast.outline
        patients = {id_} if kind == "Patient" else set[str]()
        patients.update([ids.get(patient, patient) for patient in known.patients])
        for element in alone:
            patients.update(element.patients)
        if len(patients) > 1:  # their order is that of the paths to them
            return None
        about = tuple(patients)
        meta: Meta = cast.meta
        number = b'"%s"' % id_.encode()
        start, end = meta.content
        inner, outer = meta.canonical
        values = [*names, *[element.canonical for element in alone], number]
        front, back = put(cast.front, values), put(cast.back, values)
        return Whole(
            content=(
                b'{"resourceType":"%s","id":%s,%s' % (kind.encode(), number, start),
                b"%s,%s" % (end, rest[cast.skip :]),
            ),
            canonical=(front + inner, outer + back),
            static=front[:-1] + back if cast.static is None else put(cast.static, values),
            patients=about,
            sight=self._seen(kind, cast, names, alone, ids, about=bool(about)),
            linked=cast.linked,
        )

    def _seen(
        self,
        kind: str,
        cast: Cast,
        names: Sequence[bytes],
        alone: Sequence[Element],
        ids: Mapping[str, str],
        *,
        about: bool,
    ) -> Sight:
        rows = cast.rows(names, alone)
        view = cast.views[about]
        if view is not None:
            start, end = view.start, view.end
            for place, element in enumerate(alone):
                seen = element.seen
                if seen is None:
                    seen = element.seen = self.facets(kind, [element.traits], True)
                if place == view.dated:
                    start, end = seen.clinical_start, seen.clinical_end
                    if start is None or not only_time(seen, self._nothing(kind)):
                        break
                elif seen != self._nothing(kind):
                    break
            else:
                own = {
                    (name, text if place is None else text + names[place].decode()) for name, text, place in view.own
                }
                return Sight(rows, view.rank, start, end, view.common, tuple(sorted(own)))
        known = cast.outline
        shared = self._labeller.renamed(known.traits, ids) if known.naming else known.traits
        traits = [cast.meta.element.traits, shared, *[element.traits for element in alone]]
        return Sight.of(rows, self.facets(kind, traits, about))

    def facets(self, kind: str, traits: Sequence[Any], about: bool) -> Facets:
        """Return the facets of a resource of a type whose elements have these traits, about a patient or not."""
        return self._labeller.element_facets(kind, traits, about=about)

    def _nothing(self, kind: str) -> Facets:
        found = self._nothings.get(kind)
        if found is None:
            found = self._nothings[kind] = self.facets(kind, (), True)
        return found
