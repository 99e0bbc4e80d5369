"""Structured logs that cannot hold patient data.

Log lines are built from an allow-list of keys; everything else is dropped and only counted. Exceptions are logged by
class and place: their texts, ours or a library's, never reach a log. Records of other libraries keep their fixed
format string, not its arguments.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

ALLOWED = frozenset(
    [
        "about",
        "address",
        "author",
        "backend",
        "bytes",
        "cause",
        "channel",
        "code",
        "connections",
        "error",
        "event",
        "feed",
        "feeds",
        "found",
        "interaction",
        "kind",
        "level",
        "location",
        "logger",
        "method",
        "milliseconds",
        "name",
        "notice",
        "plugin",
        "reason",
        "request",
        "root",
        "seconds",
        "sequence",
        "size",
        "state",
        "status",
        "timestamp",
        "trace",
        "version",
    ]
)
"""Keys that a log line may have: names from the configuration, who operates, numbers, codes and digests."""

_LONGEST = 200


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Set up logging of the whole process. `level` is a name of `logging`, `form` is json or text."""
    out = stream if stream is not None else sys.stderr
    number = logging.getLevelName(level.upper())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            allowed_only,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(max(number, logging.WARNING))


def allowed_only(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every key that is not allowed and turn an exception into its class and place (a structlog processor)."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event["trace"] = [
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)
        ][-8:]
    dropped = [key for key in event if key not in ALLOWED]
    for key in dropped:
        del event[key]
    for key, value in event.items():
        if isinstance(value, str) and len(value) > _LONGEST:
            event[key] = value[:_LONGEST]
    return event


class _Foreign(logging.Handler):
    """Hands other libraries' records on: logger, level, fixed text, exception class and place."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        text = record.msg if isinstance(record.msg, str) and "\n" not in record.msg else type(record.msg).__name__
        log.log(record.levelno, text, logger=record.name, exc_info=record.exc_info)
