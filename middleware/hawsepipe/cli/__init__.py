"""The command line. Each command says by its exit status whether it did what it should."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from hawsepipe.cli import access, letters, messages, running, setup
from hawsepipe.errors import HawsepipeError


class _Group(click.Group):
    """Turns errors of ours into one line and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HawsepipeError as error:
            click.echo(f"hawsepipe: {error}", err=True)
            sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(version("hawsepipe"), prog_name="hawsepipe")
def main() -> None:
    """Legacy HL7 v2 and FHIR in, provable FHIR R4 out, under the patient's consent.

    Start with `hawsepipe demo`. For real: `hawsepipe init`, edit hawsepipe.toml, `hawsepipe serve`.
    """


for command in (
    setup.init,
    setup.config,
    setup.plugins,
    running.serve,
    running.demo,
    messages.translate,
    messages.send,
    messages.verify,
    access.token,
    letters.dead_letters,
):
    main.add_command(command)

TEMPLATE = Path(__file__).with_name("template.toml")
"""The configuration that `init` writes."""
