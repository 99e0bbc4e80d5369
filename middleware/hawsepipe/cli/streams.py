"""Standard streams that may be closed, full, or left by whoever read them."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

STOPPED, LEFT = 130, 141
"""Exit statuses as a shell has them: stopped by SIGINT, and whoever read the output went away (SIGPIPE)."""


class UnwritableError(Exception):
    """What a command prints cannot be written; the text says what and why. `gone`: whoever read it went away."""

    def __init__(self, what: str, error: OSError) -> None:
        super().__init__(f"{what} cannot be written ({error.strerror or type(error).__name__})")
        self.gone = error.errno == errno.EPIPE


@contextmanager
def writing(what: str) -> Iterator[None]:
    """Turn what goes wrong with writing into an UnwritableError."""
    try:
        yield
    except OSError as error:
        raise UnwritableError(what, error) from error


def tell(text: str) -> None:
    """Print a line to standard error, if there is one that takes it: nobody's ear is a reason to stop."""
    try:
        click.echo(text, err=True)
    except OSError:
        abandon(2)


def abandon(number: int) -> None:
    """Let what is still to be written to a standard stream go nowhere, so that the exit status is the command's own."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


@contextmanager
def ending() -> Iterator[None]:
    """End a command that prints: in a sentence and with status 2 when its output is closed or cannot be written, with
    LEFT when nobody reads on, and with STOPPED at an interrupt.
    """
    if sys.stdout is None:
        tell("hawsepipe: standard output is closed")
        sys.exit(2)
    try:
        yield
    except UnwritableError as error:
        abandon(1)
        if error.gone:
            sys.exit(LEFT)
        tell(f"hawsepipe: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        tell("stopped")
        sys.exit(STOPPED)
