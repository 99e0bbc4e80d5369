"""Reading a message that is damaged: what is wrong is told, the rest is read.

The door of a feed and the record refuse such a message. Whoever only wants to know what it says gets everything that
can be read, with an issue at error level for each fault. What is read is never more than was sent.
"""

from __future__ import annotations

import re

from hawsepipe import Issue, MessageError, Severity
from hawsepipe_hl7v2 import message as limits
from hawsepipe_hl7v2.charsets import FALLBACKS, codec_of, declared, mislabelled, mislabelling
from hawsepipe_hl7v2.escapes import Delimiters
from hawsepipe_hl7v2.header import BOM, WIDE, Header
from hawsepipe_hl7v2.message import Message, parse

_ENDS = re.compile(r"\r\n|\r|\n")
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}")
_STANDARD = "^~\\&"
_TEXTS = frozenset({"DSP", "FTS", "BTS", "NTE", "OBX", "TXA"})
"""Segments whose values are texts of several lines: a line without a name goes on with them."""
_FAULTS = 100
"""Faults that are told one by one."""


def read(body: bytes, charset: str = "ascii", media_type: str = "") -> tuple[Message, list[Issue]]:
    """Parse a message as far as it can be, and say what is wrong with it.

    Raises MessageError only for what does not begin with an MSH segment. Arguments as of `message.parse`.
    """
    try:
        return parse(body, charset, media_type), []
    except MessageError:
        return _Reading(body, charset, media_type).result()


class _Reading:
    def __init__(self, body: bytes, charset: str, media_type: str) -> None:
        self.issues: list[Issue] = []
        body = self._narrow(body)
        start = len(BOM) if body.startswith(BOM) else 0
        self.body = body[start:].lstrip(b"\r\n\x0b \t")
        if self.body[:3] != b"MSH":
            raise MessageError("structure", "MSH", "the message does not begin with an MSH segment")
        self.separator = self._separator()
        self.encoding = self._encoding()
        self.text, self.codec = self._decoded(charset, "utf-8" if start else media_type)

    def result(self) -> tuple[Message, list[Issue]]:
        mark = list(self.encoding)
        marks = Delimiters(self.separator, mark[0], mark[1], mark[2], mark[3], "".join(mark[4:]))
        lines = self._segments(marks)
        try:
            return Message("\r".join(lines), marks, self.codec), self.issues
        except MessageError as error:
            # Nothing is known to get here; the header alone is still an answer.
            self._fault(error.cause, error.location, error.reason)
            return Message(lines[0][: limits.MAX_FIELDS], marks, self.codec), self.issues

    def _fault(self, cause: str, location: str, text: str) -> None:
        if len(self.issues) < _FAULTS:
            self.issues.append(Issue(Severity.ERROR, cause, location, text))
        elif len(self.issues) == _FAULTS:
            self.issues.append(Issue(Severity.ERROR, cause, location, "there is more that is wrong"))

    def _narrow(self, body: bytes) -> bytes:
        if not body.startswith(WIDE):
            return body
        self._fault("parse", "MSH", "UTF-16 is not allowed in a v2 message")
        codec = "utf-16" if body[:1] in (b"\xff", b"\xfe") else "utf-16-be" if body[:1] == b"\0" else "utf-16-le"
        return BOM + body.decode(codec, "replace").encode()

    def _separator(self) -> str:
        sent = self.body[3:4].decode("latin-1")
        if not sent or sent.isalnum() or sent in "\r\n":
            self._fault("parse", "MSH-1", "there is no field separator; | is taken")
            self.body = b"MSH|" + self.body[3:]
            return "|"
        if not (" " < sent < "\x7f"):
            self._fault("parse", "MSH-1", "the field separator is not a printable character")
        return sent

    def _encoding(self) -> str:
        line = re.split(rb"\r|\n", self.body, maxsplit=1)[0].decode("latin-1")
        parts = line.split(self.separator)
        sent = parts[1] if len(parts) > 1 else ""
        marks = "".join(
            dict.fromkeys(
                mark for mark in sent if " " < mark < "\x7f" and not mark.isalnum() and mark != self.separator
            )
        )[:5]
        if marks == sent and len(marks) >= 4:
            return marks
        self._fault("parse", "MSH-2", "the encoding characters must be four or five different characters")
        for mark in _STANDARD[len(marks) :] + "^~\\&#$@!":
            if len(marks) < 4 and mark not in marks and mark != self.separator:
                marks += mark
        return marks

    def _decoded(self, charset: str, media_type: str) -> tuple[str, str]:
        if media_type == "utf-8":
            return self.body.decode("utf-8", "replace"), "utf-8"
        try:
            header = self._header()
            carrier = declared(media_type)
            codec = carrier or codec_of(header, charset)
            if carrier is None and mislabelled(self.body, codec):
                self.issues.append(
                    Issue(Severity.WARNING, "parse", "MSH-18", mislabelling(declared=bool(header.field(18))))
                )
                codec = "utf-8"
        except MessageError as error:
            self._fault(error.cause, error.location, error.reason)
            codec = FALLBACKS[charset]
        for guess in (codec, "utf-8", "iso8859_1"):
            try:
                text = self.body.decode(guess)
            except (UnicodeDecodeError, LookupError):
                if guess == codec:
                    self._fault("parse", "MSH-18", "the bytes are not in the declared or expected character set")
                continue
            return text, guess
        raise AssertionError("every byte is a character of Latin-1")

    def _header(self) -> Header:
        line = re.split(rb"\r|\n", self.body, maxsplit=1)[0]
        separator = self.separator.encode("latin-1")
        return Header((b"MSH", separator, *line.split(separator)[1:]), separator, self.encoding.encode("latin-1"))

    def _segments(self, marks: Delimiters) -> list[str]:
        """Return the lines that are segments; a line that is none goes on with the value before it."""
        found: list[str] = []
        counts: dict[str, int] = {}
        parts = 0
        label = "MSH"
        for line in _ENDS.split(self.text):
            if not line or line.isspace():
                continue
            name = line[:3]
            if not _NAME.match(line) or (len(line) > 3 and line[3] != self.separator):
                goes_on = self.separator in line or label.partition("[")[0] in _TEXTS
                if found and line[3:4] != self.separator and goes_on:
                    # A line break inside a value, most likely; a damaged name would make its fields another's.
                    self._fault("parse", label, f"the line after {label} is no segment")
                    found[-1] += f"{marks.escape}.br{marks.escape}{line}"
                else:
                    self._fault("parse", label, f"the line after {label} is no segment; it is not read")
                continue
            if name == "MSH" and found:
                self._fault("structure", "MSH[2]", "there is a second MSH segment; it and what follows are not read")
                break
            number = counts[name] = counts.get(name, 0) + 1
            label = name if number == 1 else f"{name}[{number}]"
            line = self._bounded(line, label, marks)
            parts += sum(line.count(mark) for mark in (marks.separator, *marks.levels))
            if len(found) == limits.MAX_SEGMENTS or parts > limits.MAX_PARTS:
                most = "segments" if len(found) == limits.MAX_SEGMENTS else "fields, repetitions and components"
                self._fault("structure", label, f"there are too many {most}; the rest is not read")
                break
            found.append(line)
        return found

    def _bounded(self, line: str, label: str, marks: Delimiters) -> str:
        """Return the segment without fields that have more parts than any can mean."""
        if all(line.count(mark) < limits.MAX_FIELDS for mark in (marks.separator, *marks.levels)):
            return line
        fields = line.split(marks.separator)
        if len(fields) > limits.MAX_FIELDS:
            self._fault("structure", label, f"more than {limits.MAX_FIELDS} fields; the rest is not read")
            fields = fields[: limits.MAX_FIELDS]
        first = 0 if label != "MSH" else 1
        for number, raw in enumerate(fields):
            repetitions = raw.split(marks.repetition)
            for mark, most, name in (
                (marks.component, limits.MAX_COMPONENTS, "components"),
                (marks.subcomponent, limits.MAX_COMPONENTS, "subcomponents"),
            ):
                if any(one.count(mark) >= most for one in repetitions):
                    self._fault("structure", f"{label}-{number + first}", f"more than {most} {name}; it is not read")
                    fields[number] = ""
            if len(repetitions) > limits.MAX_REPETITIONS:
                text = f"more than {limits.MAX_REPETITIONS} repetitions; it is not read"
                self._fault("structure", f"{label}-{number + first}", text)
                fields[number] = ""
        return marks.separator.join(fields)
