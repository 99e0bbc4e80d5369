"""Takes large content out of resources on their way into the store, and proves that it was taken here."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from typing import Any, Final

from hawsepipe.contents.contract import Contents, Sink, Stored
from hawsepipe.errors import InvalidResource
from hawsepipe.fhir import contents as marks
from hawsepipe.fhir.contents import Held
from hawsepipe.model import Issue, Resource, Severity

_PART: Final = 1 << 18  # characters, whole groups of four
_PROOF: Final = 32
OPERATION: Final = "$content"
"""The operation that an Attachment's url leads to."""


@dataclass(frozen=True, slots=True)
class Taking:
    """What is over `bound` bytes goes to `contents`; `key` is a secret of the installation."""

    contents: Contents
    key: bytes
    bound: int

    def taken(self, resource: Resource, reference: str) -> Resource:
        """Return the resource (`reference` is `Type/id`) without its large contents, which are kept from now on.

        The same content makes the same resource. An Attachment gets url, size and hash where it has none. Raises
        InvalidResource for a size or a hash that is not the content's, and for a content that is named without proof.
        """
        taken: Resource = self._node(resource, f"{reference}/{OPERATION}", str(resource.get("resourceType", "")))
        return taken

    def concerns(self, body: bytes) -> bool:
        """Say whether a body may hold what `taken` changes or refuses: no other need be looked at."""
        return len(body) > self.bound or marks.EXTENSION.encode() in body

    def waits(self, resource: Resource) -> bool:
        """Say whether `taken` may have to write, and so to wait."""
        return _largest(resource) > self.bound

    def held(self, stored: Stored) -> Held:
        """Return a kept content as resources name it."""
        return Held(stored.sha256, stored.size, self._proof(stored.sha256, stored.size))

    def proved(self, held: Held) -> bool:
        """Say whether a content was named by this installation."""
        return hmac.compare_digest(held.proof.encode(), self._proof(held.sha256, held.size).encode())

    def _proof(self, sha256: str, size: int) -> str:
        text = f"hawsepipe content|{sha256}|{size}".encode()
        return hmac.new(self.key, text, hashlib.sha256).hexdigest()[:_PROOF]

    def _node(self, node: Any, url: str, path: str) -> Any:
        if isinstance(node, list):
            items = [self._node(child, url, f"{path}[{place}]") for place, child in enumerate(node)]
            return items if any(new is not old for new, old in zip(items, node, strict=True)) else node
        if not isinstance(node, dict):
            return node
        changed: Resource = {}
        for name, child in node.items():
            if isinstance(child, dict | list) and name != "_data":
                new = self._node(child, url, f"{path}.{name}")
                if new is not child:
                    changed[name] = new
        if changed:
            node = {**node, **changed}
        if ("data" in node or "_data" in node) and marks.holds_content(node):
            return self._element(node, url, path)
        return node

    def _element(self, element: Resource, url: str, path: str) -> Resource:
        data = element.get("data")
        if data is None:
            held = marks.held_in(element)
            if marks.marked(element) and (held is None or not self.proved(held)):
                raise _refused(f"{path}.data", "the content that this names is none that was sent here")
            return element
        if marks.marked(element):
            rest = marks.without_mark(element["_data"])
            element = {name: value for name, value in element.items() if name != "_data"}
            element |= {"_data": rest} if rest else {}
        # What is no longer than this in base64 is not over the bound either.
        if not isinstance(data, str) or len(data) * 3 // 4 <= self.bound:
            return element
        stored = self._kept(data, path)
        if stored is None or stored.size <= self.bound:
            return element
        mark = marks.element_of(self.held(stored), element.get("_data"))
        kept = {("_data" if name == "data" else name): value for name, value in element.items() if name != "_data"}
        kept["_data"] = mark
        return kept if element.get("resourceType") == "Binary" else _attachment(kept, stored, url, path)

    def _kept(self, data: str, path: str) -> Stored | None:
        """Keep what is encoded; None when it is not base64, which is for the validation to tell."""
        sink = self.contents.sink()
        try:
            return sink.keep() if _decoded(data, sink) else None
        finally:
            sink.drop()


def _largest(node: Any) -> int:
    """Return how long the longest `data` is."""
    if isinstance(node, dict):
        data = node.get("data")
        own = len(data) if isinstance(data, str) else 0
        return max([own, *(_largest(child) for child in node.values() if isinstance(child, dict | list))])
    return max((_largest(child) for child in node if isinstance(child, dict | list)), default=0)


def _decoded(data: str, sink: Sink) -> bool:
    if any(mark in data for mark in " \t\r\n"):
        data = "".join(data.split())
    if len(data) % 4:
        return False
    try:
        for first in range(0, len(data), _PART):
            part = data[first : first + _PART]
            if "=" in part and first + _PART < len(data):
                return False
            sink.write(b64decode(part, validate=True))
    except (NotBase64, ValueError):
        return False
    return True


def _attachment(element: Resource, stored: Stored, url: str, path: str) -> Resource:
    sha1 = b64encode(bytes.fromhex(stored.sha1)).decode("ascii")
    if element.get("size", stored.size) != stored.size:
        raise _refused(f"{path}.size", "the size is not that of the content")
    if element.get("hash", sha1) != sha1:
        raise _refused(f"{path}.hash", "the hash is not the SHA-1 of the content")
    made = {"url": f"{url}?sha256={stored.sha256}", "size": stored.size, "hash": sha1}
    return {**element, **{name: value for name, value in made.items() if name not in element}}


def _refused(path: str, text: str) -> InvalidResource:
    return InvalidResource((Issue(Severity.ERROR, "value", path, text),))
