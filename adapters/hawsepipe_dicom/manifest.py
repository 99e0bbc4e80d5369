"""A study as the archive tells it, without its pixels: what goes into the journal. Pure.

The same study makes the same bytes. Its manifest digest is SHA-256 over one line an instance (its UID, a space, the
digest of its file), sorted: who has the files can make it again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from hawsepipe import MessageError

MEDIA_TYPE: Final = "application/vnd.hawsepipe.dicom-study+json"
TAGS: Final = (
    "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "AccessionNumber", "StudyDate", "StudyTime",
    "StudyDescription", "TimezoneOffsetFromUTC",
)  # fmt: skip
"""What is taken of a study; nothing else of it, no name, leaves the archive."""
SERIES_TAGS: Final = ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription", "SeriesDate", "SeriesTime")
_FORM: Final = 1
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_MOST_UID: Final = 64


class Instance(NamedTuple):
    """One file: its UID, its class, its number in the series and its digest (`sha256:…`)."""

    uid: str
    sop_class: str
    number: str
    digest: str


class Series(NamedTuple):
    """One series: its tags by name, and its instances."""

    tags: Mapping[str, str]
    instances: Sequence[Instance]


class Study(NamedTuple):
    """A study: its tags by name, and its series."""

    tags: Mapping[str, str]
    series: Sequence[Series]

    @property
    def digest(self) -> str:
        """The manifest digest (`sha256:…`)."""
        lines = sorted(f"{one.uid} {one.digest}\n" for series in self.series for one in series.instances)
        return f"sha256:{sha256(''.join(lines).encode()).hexdigest()}"


def picked(tags: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    """Return the tags of these names that have a value, without padding."""
    texts = {name: tags[name].strip(" \0") for name in names if isinstance(tags.get(name), str)}
    return {name: text for name, text in texts.items() if text}


def body_of(study: Study) -> bytes:
    """Return a study as bytes."""
    series = [
        {"tags": dict(one.tags), "instances": [list(it) for it in sorted(one.instances)]}
        for one in sorted(study.series, key=lambda it: it.tags.get("SeriesInstanceUID", ""))
    ]
    document = {"form": _FORM, "tags": dict(study.tags), "series": series}
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def study_of(body: bytes) -> Study:
    """Return the study that bytes are. Raises MessageError for what is none."""
    try:
        document = json.loads(body)
        if document["form"] != _FORM:
            raise ValueError
        series = [
            Series(_texts(row["tags"]), [Instance(*map(str, one)) for one in row["instances"]])
            for row in document["series"]
        ]
        study = Study(_texts(document["tags"]), series)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise MessageError("parse", "", "this is no manifest of a study") from error
    uids = [("0020,000D", study.tags.get("StudyInstanceUID"))]
    uids += [("0020,000E", one.tags.get("SeriesInstanceUID")) for one in series]
    uids += [("0008,0018", it.uid) for one in series for it in one.instances]
    uids += [("0008,0016", it.sop_class) for one in series for it in one.instances]
    for tag, uid in uids:
        if uid is None or len(uid) > _MOST_UID or not _UID.fullmatch(uid):
            raise MessageError("structure", tag, "this is no UID")
    if not series or not all(one.instances for one in series):
        raise MessageError("required", "0008,0018", "there is no instance")
    return study


def _texts(held: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in held.items()}
