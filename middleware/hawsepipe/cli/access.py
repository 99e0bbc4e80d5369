"""`token`: an access token from the embedded issuer."""

from __future__ import annotations

from pathlib import Path

import click

from hawsepipe.cli.options import config_option
from hawsepipe.clock import system_clock
from hawsepipe.config import read
from hawsepipe.service.credentials import issued_token


@click.command()
@config_option
@click.option("--subject", required=True, help="Who: Practitioner/1, Patient/1 or Device/1.")
@click.option("--scope", default="user/*.rs", show_default=True, help="SMART scopes, separated by spaces.")
@click.option("--purpose", default="TREAT", show_default=True, help="Purpose of use (v3-ActReason).")
@click.option("--role", "roles", multiple=True, help="A role code, such as physician; may be repeated.")
@click.option("--patient", help="The patient of the launch context (an id).")
def token(
    config_path: Path, subject: str, scope: str, purpose: str, roles: tuple[str, ...], patient: str | None
) -> None:
    """Print an access token that holds for five minutes.

    It is signed with the issuer key of the data directory: whoever can read that key decides who somebody is. A token
    says who asks and for what; whether anything is shown is decided by the patients' consents.
    """
    click.echo(
        issued_token(
            read(config_path),
            subject=subject,
            scope=scope,
            purpose=purpose,
            roles=roles,
            patient=patient,
            now=system_clock(),
        )
    )
