"""Stored content, decoded."""

from __future__ import annotations

from hawsepipe.errors import HawsepipeError, InvalidRequest
from hawsepipe.fhir import codec
from hawsepipe.model import Resource


def decoded(content: bytes) -> Resource:
    """Return a stored version's content.

    Raises HawsepipeError (500) for content that was not written by us as it is: no request can be at fault for it.
    """
    try:
        return codec.decode(content)
    except InvalidRequest as error:
        raise HawsepipeError("what is stored of a resource cannot be read") from error
