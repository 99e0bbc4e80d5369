"""First versions put together from elements that were worked out before: messages bring the same ones again and again.

What a resource is labelled with, found by and seen by, whether it is right, and its canonical form are what its
elements give, each for itself; so an element is worked out once and remembered by its bytes, whichever resources it
refers to: one that differs in their ids alone differs in these alone in all that it gives. What is not so simple
(contained resources, lists that are joined, several patients, whatever is not surely right) is left to
`preparation`, which looks at the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from hawsepipe.errors import HawsepipeError
from hawsepipe.fhir import canonical, codec
from hawsepipe.fhir.index import Grouped, grouped
from hawsepipe.fhir.primitives import fits
from hawsepipe.fhir.references import patients_of
from hawsepipe.model import Severity
from hawsepipe.store import casts, moments
from hawsepipe.store.casting import Casting
from hawsepipe.store.elementwise import ElementExtractor, ElementLabeller, ElementValidator
from hawsepipe.store.moulds import Masked, Mould, masked, masked_members, mould
from hawsepipe.store.outlines import Luck, Outline, Part, apart, outline
from hawsepipe.store.prepared import Sight
from hawsepipe.store.wholes import Element, Meta, Whole, plain

REFUSED: Final = frozenset({Severity.ERROR, Severity.FATAL})
"""Findings of the validator that keep a resource out."""

SOME_INSTANT: Final = "0001-01-01T00:00:00.000000Z"
"""Stands where the instant comes."""

_LARGEST: Final = 1024
"""Bytes of an element that is remembered."""

_OUTLINES: Final = 512
"""Outlines that are remembered, or resources whose outline may be worth while."""

_LARGEST_OUTLINE: Final = 16_384
"""Bytes of what resources with one outline have in common."""

_KEPT: Final = 8192
"""Elements that are remembered, twice: those met lately, and those met before them."""

_ENTANGLED: Final = frozenset({"contained", "reference", "system"})
"""Elements of a resource that say something together with others."""

_NESTING: Final = frozenset({"Bundle", "Parameters"})
"""Types that hold whole resources."""

_META: Final = b'"meta":'
"""Stands where `meta` comes."""

_TOKENS: Final = Grouped._fields.index("tokens")
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class _Doubtful(Exception):
    """The whole has to be looked at."""


class Elements:
    """Makes first versions of what it knows of their elements. For one thread at a time."""

    def __init__(
        self, labeller: ElementLabeller[Any], extractor: ElementExtractor, validator: ElementValidator, base_url: str
    ) -> None:
        self._labeller = labeller
        self._extractor = extractor
        self._validator = validator
        self._base_url = base_url
        self._lately: dict[tuple[str, str, bytes], Element] = {}
        self._before: dict[tuple[str, str, bytes], Element] = {}
        self._metas: dict[tuple[str, bytes, frozenset[str]], Meta] = {}
        self._names: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._twins: dict[tuple[str, bytes, bytes], None] = {}
        self._outlines: dict[tuple[Any, ...], Outline | None] = {}
        self._luck: dict[str, Luck] = {}
        self._moments: dict[tuple[str, str, bytes | None], Element | None] = {}
        self._casting = Casting(labeller, self._element)

    def whole(self, kind: str, id_: str, joined: Collection[str], written: bytes) -> Whole | None:
        """Return the first version of a resource of this content, whose lists `joined` were joined to none; None when
        the whole has to be looked at.
        """
        try:
            return self._whole(kind, id_, joined, written)
        except (_Doubtful, HawsepipeError):
            return None

    def _whole(self, kind: str, id_: str, joined: Collection[str], written: bytes) -> Whole:
        luck = self._luck.get(kind) or self._luck.setdefault(kind, Luck())
        worth = luck.worth()
        shape = casts.shape(kind, id_, joined, written) if worth else None
        if shape is not None:
            whole = self._casting.whole(kind, id_, joined, shape)
            if whole is not None:
                luck.found()
                return whole
        held = {name: bytes(part) for name, part in _PARTS.decode(written).items()}
        own = held.pop("resourceType", None)
        held.pop("id", None)
        told = held.pop("meta", b"")
        if kind in _NESTING or not _ENTANGLED.isdisjoint(held) or not fits("id", id_):
            raise _Doubtful
        type_ = b'"%s"' % kind.encode()
        if own is not None and own != type_:
            raise _Doubtful
        if worth:
            whole = self._outlined(kind, id_, joined, told, held, shape)
            if whole is not None:
                luck.found()
                return whole
        return self._assembled(kind, id_, joined, told, held, written)

    def _outlined(
        self,
        kind: str,
        id_: str,
        joined: Collection[str],
        told: bytes,
        held: Mapping[str, bytes],
        shape: casts.Shape | None = None,
    ) -> Whole | None:
        """Return the first version if its outline is known."""
        own = [name for name, part in held.items() if apart(part) is not None]
        names = [name for name in held if name not in own] if own else list(held)
        without = masked_members(kind, names, b",".join([b'"%s":%s' % (name.encode(), held[name]) for name in names]))
        if without is None:
            return None
        place = (kind, tuple(sorted(joined)), told, *held, tuple(own), without.written)
        known = self._outlines.get(place)
        if known is None:
            if place not in self._outlines:
                _keep(self._outlines, place, None, _OUTLINES)
            elif len(without.written) <= _LARGEST_OUTLINE:
                known = self._outline(kind, joined, told, held, own, without)
                self._outlines[place] = known
        if known is None:
            return None
        alone: list[Element] = []
        labels = known.labels
        for name in own:
            element = self._element(kind, name, held[name])
            if not _stands(name, element, known.twins) or (name in joined and not plain(element)):
                return None
            alone.append(element)
            labels |= element.traits.labels
        texts = [name.decode() for name in without.names]
        ids = {hole: texts[number] for hole, number in known.ids}
        patients = {id_} if kind == "Patient" else set[str]()
        patients.update([ids.get(patient, patient) for patient in known.patients])
        for element in alone:
            patients.update(element.patients)
        if len(patients) > 1:  # their order is that of the paths to them
            return None
        meta = self._meta(kind, told, labels)
        shared = self._labeller.renamed(known.traits, ids) if known.naming else known.traits
        traits = [meta.element.traits, shared, *[element.traits for element in alone]]
        number = b'"%s"' % id_.encode()
        start, end = meta.content
        front, back = meta.canonical
        values = [*without.names, *[element.canonical for element in alone], number]
        rows = known.collected(texts, alone)
        for at, some in meta.element.rows:
            rows[at][:0] = some
        existing = known.existing.union(meta.element.existing, *[element.existing for element in alone])
        presence = [tuple(row) for row in self._extractor.presence(kind, existing)]
        rows[_TOKENS] += presence
        if shape is not None and self._casting.again(shape):
            single = list(zip(own, alone, strict=True))
            facets = partial(self._casting.facets, kind)
            made = casts.cast(known, shape, told, held, single, without.names, meta, presence, facets)
            self._casting.keep(shape, made)
        about = tuple(patients)
        return Whole(
            content=(
                b'{"resourceType":"%s","id":%s,%s' % (kind.encode(), number, start),
                end + known.content.of([*without.names, *[element.written for element in alone]]),
            ),
            canonical=(known.front.of(values) + front, back + known.back.of(values)),
            static=known.static.of(values),
            patients=about,
            sight=Sight.of(
                Grouped(*[tuple(dict.fromkeys(some)) for some in rows]), self._casting.facets(kind, traits, bool(about))
            ),
            linked="link" in held,
        )

    def _outline(
        self,
        kind: str,
        joined: Collection[str],
        told: bytes,
        held: Mapping[str, bytes],
        own: Sequence[str],
        without: Masked,
    ) -> Outline | None:
        """Make the outline of resources that are like this one; None where they have to be looked at."""
        twins = self._names.get((kind, *held))
        if twins is None:
            return None
        document = b"{" + without.written + b"}"
        try:
            parts = {name: bytes(part) for name, part in _PARTS.decode(document).items()}
            found = self._worked_out(kind, document, list(parts)) if parts else {}
        except (_Doubtful, HawsepipeError, msgspec.DecodeError):
            return None
        # What depends on its twin was seen to be right beside it, if both are the same in each resource.
        seen = {
            it
            for name in twins
            if {name, f"_{name}"} <= found.keys()
            and (kind, found[name].written, found[f"_{name}"].written) in self._twins
            for it in (name, f"_{name}")
        }
        if not all(
            (name in seen or _stands(name, it, twins)) and (name not in joined or plain(it))
            for name, it in found.items()
        ):
            return None
        traits = self._labeller.joined([it.traits for it in found.values()])
        return outline(
            b'"%s"' % kind.encode(),
            [
                name if name in own else Part(name, found[name].written, found[name].canonical, found[name].rows)
                for name in held
            ],
            without,
            existing=frozenset().union(*[it.existing for it in found.values()]),
            labels=frozenset().union(*[it.traits.labels for it in found.values()]),
            traits=traits,
            naming=self._labeller.renamed(traits, {hole.decode(): "x" for hole in without.holes}) != traits,
            twins=frozenset(twins),
            patients=tuple(patient for it in found.values() for patient in it.patients),
        )

    def _assembled(
        self, kind: str, id_: str, joined: Collection[str], told: bytes, held: Mapping[str, bytes], written: bytes
    ) -> Whole:
        """Return the first version, element by element."""
        type_ = b'"%s"' % kind.encode()
        elements: dict[str, Element] = {}
        labels: frozenset[str] = frozenset()
        patients = [id_] if kind == "Patient" else []
        found = {name: self._known(kind, name, part) for name, part in held.items()}
        missing = [name for name, element in found.items() if element is None]
        made = self._worked_out(kind, written, missing) if missing else {}
        for name, known in found.items():
            element = elements[name] = made[name] if known is None else known
            if name in joined and not plain(element):
                raise _Doubtful
            if element.traits.labels:
                labels |= element.traits.labels
            patients += element.patients
        about = tuple(dict.fromkeys(patients))
        if len(about) > 1:  # their order is that of the paths to them
            raise _Doubtful
        meta = self._meta(kind, told, labels)
        start, end = meta.content
        number = b'"%s"' % id_.encode()
        content = (
            b'{"resourceType":%s,"id":%s,%s' % (type_, number, start),
            b",".join((end, *[element.written for element in elements.values()])) + b"}",
        )
        self._check(kind, elements, content)
        front, back, unmoved = _sorted(type_, number, meta, elements)
        every = [meta.element, *elements.values()]
        sight = Sight.of(
            self._rows(kind, every), self._casting.facets(kind, [element.traits for element in every], bool(about))
        )
        return Whole(content, (front, back), unmoved, about, sight, "link" in elements)

    def _rows(self, kind: str, elements: Iterable[Element]) -> Grouped:
        rows: list[list[Any]] = [[] for _ in Grouped._fields]
        existing: set[str] = set()
        for element in elements:
            for place, some in element.rows:
                rows[place] += some
            if element.existing:
                existing |= element.existing
        for row in self._extractor.presence(kind, existing):
            rows[_TOKENS].append(tuple(row))
        return Grouped(*[tuple(dict.fromkeys(some)) for some in rows])

    def _check(self, kind: str, elements: Mapping[str, Element], content: tuple[bytes, bytes]) -> None:
        """Raise _Doubtful unless the resource is right, `meta` besides. What the whole is seen to be, its elements are
        in any resource that has elements of the same names.
        """
        names = (kind, *elements)
        twins = self._names.get(names)
        if twins == () and all(element.right for element in elements.values()):
            return
        alone = set(elements)
        pairs: list[tuple[str, bytes, bytes]] = []
        for name in _with_twins(elements) if twins is None else twins:
            element, twin = elements[name], elements[f"_{name}"]
            if not (element.single and twin.single):
                pairs.append((kind, element.written, twin.written))
                alone -= {name, f"_{name}"}
        if (
            twins is not None
            and all(elements[name].right for name in alone)
            and all(pair in self._twins for pair in pairs)
        ):
            return
        before, after = content
        issues = self._validator.check(codec.decode(before + SOME_INSTANT.encode() + after))
        if any(issue.severity in REFUSED for issue in issues):
            raise _Doubtful
        _keep(self._names, names, _with_twins(elements))
        for name in alone:
            elements[name].right = True
        for pair in pairs:
            _keep(self._twins, pair, None)

    def _meta(self, kind: str, told: bytes, labels: frozenset[str]) -> Meta:
        known = self._metas.get((kind, told, labels))
        if known is None:
            given = codec.decode(told) if told else None
            labelled = self._labeller.label_elements(kind, given, labels)
            stamped = {**(labelled or {}), "versionId": "1", "lastUpdated": SOME_INSTANT}
            element = self._worked_out(kind, codec.encode({"meta": stamped}), ["meta"])["meta"]
            content, form = (text.split(SOME_INSTANT.encode()) for text in (element.written, element.canonical))
            if not element.right or len(content) != 2 or len(form) != 2:
                raise _Doubtful
            known = Meta(element, (content[0], content[1]), (form[0], form[1]))
            if len(told) <= _LARGEST:
                _keep(self._metas, (kind, told, labels), known)
        return known

    def _element(self, kind: str, name: str, written: bytes) -> Element:
        return (
            self._known(kind, name, written)
            or self._at_another_time(kind, name, written)
            or self._worked_out(kind, _member(name, written), [name])[name]
        )

    def _at_another_time(self, kind: str, name: str, written: bytes) -> Element | None:
        """Return an element that is one day or second as another one of it has it, None when it is not so simple."""
        one = moments.moment(written)
        if one is None:
            return None
        place = (kind, name, one.zone)
        general = self._moments.get(place)
        if general is not None:
            element = moments.at(general, name, one, self._labeller.element(kind, name, one.text))
            self._remember((kind, name, written), element)
            return element
        if place in self._moments:
            return None
        element = self._worked_out(kind, _member(name, written), [name])[name]
        _keep(self._moments, place, element if moments.alike(element, name, one) else None)
        return element

    def _known(self, kind: str, name: str, written: bytes) -> Element | None:
        """Return an element that is known, or is as one that is known but for names."""
        place = (kind, name, written)
        known = self._lately.get(place) or self._before.get(place) or self._like_another(kind, name, written)
        if known is not None:
            self._remember(place, known)
        return known

    def _like_another(self, kind: str, name: str, written: bytes) -> Element | None:
        """Return the element as one that differs from it in names alone has it, None when there cannot be one."""
        without = masked(kind, name, written)
        if without is None:
            return None
        place = (kind, name, without.written)
        general = self._lately.get(place) or self._before.get(place)
        if general is None:
            general = self._worked_out(kind, _member(name, without.written), [name])[name]
            general.mould = mould(without.holes, (general.written, general.canonical), general.rows)
        self._remember(place, general)
        return None if general.mould is None else self._filled(general, general.mould, without)

    def _remember(self, place: tuple[str, str, bytes], element: Element) -> None:
        if len(place[2]) <= _LARGEST:
            self._lately[place] = element
            if len(self._lately) > _KEPT:
                self._before, self._lately = self._lately, {}

    def _filled(self, general: Element, form: Mould, without: Masked) -> Element:
        """Return the element that has these names in the place of what stands for them."""
        texts = [name.decode() for name in without.names]
        written, canonical_form = (it.of(without.names) for it in form.forms)
        ids = {hole: texts[number] for hole, number in form.ids}
        return Element(
            written=written,
            canonical=canonical_form,
            rows=form.filled(texts),
            existing=general.existing,
            traits=self._labeller.renamed(general.traits, ids) if ids else general.traits,
            patients=tuple([ids.get(id_, id_) for id_ in general.patients]) if general.patients else (),
            plain=general.plain,
            right=general.right,
            single=general.single,
        )

    def _worked_out(self, kind: str, written: bytes, names: Sequence[str]) -> dict[str, Element]:
        """Work out elements of a resource that is written so."""
        # What is read back is what the store would see: no type that only prints like JSON.
        resource = codec.decode(written)
        if codec.encode(resource) != written or not all(name.isascii() and name.isidentifier() for name in names):
            raise _Doubtful
        values = {name: resource[name] for name in names}
        # Elements that are right together are right alone: a schema without what is required asks each for itself.
        right = self._validator.accepts_elements(kind, values)
        made: dict[str, Element] = {}
        for name, value in values.items():
            single = right or (len(values) > 1 and self._validator.accepts_elements(kind, {name: value}))
            made[name] = self._one(kind, name, value, single=single)
            if name != "meta":
                self._remember((kind, name, made[name].written[len(name) + 3 :]), made[name])
        return made

    def _one(self, kind: str, name: str, value: Any, *, single: bool) -> Element:
        written = codec.encode({name: value})[1:-1]
        rows, existing = self._extractor.element(kind, name, value)
        of_patients = b"Patient/" in written
        return Element(
            written=written,
            canonical=canonical.member(name, value),
            rows=tuple((place, some) for place, some in enumerate(grouped(rows)) if some) if rows else (),
            existing=existing,
            traits=self._labeller.element(kind, name, value),
            patients=patients_of({"resourceType": kind, name: value}, self._base_url) if of_patients else (),
            plain=None if isinstance(value, list) and len(value) > 1 else True,
            right=single,
            single=single,
        )


def _stands(name: str, element: Element, twins: Collection[str]) -> bool:
    """Say whether an element is right among others of which these have twins."""
    return element.single if name in twins or name.removeprefix("_") in twins else element.right


def _member(name: str, written: bytes) -> bytes:
    return codec.encode({name: msgspec.Raw(written)})


def _with_twins(elements: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in elements if f"_{name}" in elements)


def _sorted(type_: bytes, number: bytes, meta: Meta, elements: Mapping[str, Element]) -> tuple[bytes, bytes, bytes]:
    """Return what stands before and after the instant in the canonical form, and the static form."""
    members = [element.canonical for element in elements.values()]
    members += (b'"id":' + number, _META, b'"resourceType":' + type_)
    members.sort()
    place = members.index(_META)
    before, after = meta.canonical
    front = b"{" + b",".join((*members[:place], before))
    back = b",".join((after, *members[place + 1 :])) + b"}"
    del members[place]
    if "text" in elements:
        members.remove(elements["text"].canonical)
    return front, back, b"{" + b",".join(members) + b"}"


def _keep(kept: dict[_Key, _Value], key: _Key, value: _Value, most: int | None = None) -> None:
    kept[key] = value
    if len(kept) > (_KEPT if most is None else most):
        del kept[next(iter(kept))]
