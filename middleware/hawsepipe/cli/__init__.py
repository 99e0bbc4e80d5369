"""The command line. Each command says by its exit status whether it did what it should.

A command's module is imported when the command is asked for, so that a small command does not wait for a large one.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from hawsepipe.errors import HawsepipeError

_COMMANDS = {
    "demo": "running:demo",
    "init": "setup:init",
    "config": "setup:config",
    "plugins": "setup:plugins",
    "serve": "running:serve",
    "translate": "translating:translate",
    "convert": "converting:convert",
    "send": "sending:send",
    "token": "access:token",
    "accesses": "record:accesses",
    "messages": "messages:messages",
    "dead-letters": "letters:dead_letters",
    "deliveries": "deliveries:deliveries",
    "alerts": "letters:alerts",
    "lanes": "letters:lanes",
    "patients": "patients:patients",
    "migrate": "migrating:migrate",
    "backup": "backing:backup",
    "restore": "backing:restore",
    "verify": "verifying:verify",
    "ledger": "ledger:ledger",
}


class _Group(click.Group):
    """Finds commands by name, and turns errors of ours into one line and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(f"hawsepipe.cli.{module}"), name)
        if not isinstance(command, click.Command):
            raise TypeError(cmd_name)
        return command

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
