"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorated = Callable[..., Any]

DEFAULT = Path("hawsepipe.toml")


def config_option(function: Decorated) -> Decorated:
    """Add `--config FILE`."""
    return click.option(
        "-c",
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        default=DEFAULT,
        show_default=True,
        help="The configuration file.",
    )(function)
