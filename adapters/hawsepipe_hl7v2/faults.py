"""What stands in the way of a message before anything is read of it: its frame, or its length."""

from __future__ import annotations

from hawsepipe import MessageError

TRUNCATED = MessageError("parse", "", "the frame was cut off before its end")
DAMAGED = MessageError("parse", "", "there is an end-of-block byte inside the frame")
OVERSIZE = MessageError("parse", "", "the frame is larger than this feed takes")
TOO_LONG = MessageError("parse", "", "the message is longer than this feed takes")

FAULTS = frozenset(error.reason for error in (TRUNCATED, DAMAGED, OVERSIZE, TOO_LONG))
