"""What is public is documented, with its exact signature."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hawsepipe import errors, hooks
from hawsepipe.cli import main
from hawsepipe.fhir import definitions

DOCS = Path(__file__).resolve().parents[2] / "docs"
HOOKS = (DOCS / "hooks.md").read_text(encoding="utf-8")
ERRORS = (DOCS / "errors.md").read_text(encoding="utf-8")
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")


def _signature(function: object, *, bound: bool) -> str:
    """Return `name(parameters) -> result` in one line; `bound` drops self."""
    assert inspect.isfunction(function)
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if bound:
        parameters = parameters[1:]
    text = str(signature.replace(parameters=parameters)).replace("'", "")
    return f"{function.__name__}{text}"


def _flat(text: str) -> str:
    return re.sub(r"\(\s+", "(", re.sub(r"\s+", " ", text)).replace(" )", ")")


@pytest.mark.parametrize("name", [name for name in vars(hooks.Hooks) if name.startswith("register_")])
def test_every_hook_is_documented_with_its_signature(name: str) -> None:
    assert f"def {_signature(getattr(hooks.Hooks, name), bound=True)}" in HOOKS


@pytest.mark.parametrize(
    "contract",
    [
        hooks.Feed,
        hooks.Intake,
        hooks.Destination,
        hooks.Translator,
        hooks.Reader,
        hooks.Converter,
        hooks.LedgerBackend,
        hooks.ConsentRule,
    ],
)
def test_every_method_of_a_contract_is_documented_with_its_signature(contract: type) -> None:
    for name, value in vars(contract).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            prefix = "async def" if inspect.iscoroutinefunction(value) else "def"
            assert f"{prefix} {_signature(value, bound=False)}" in _flat(HOOKS), name
        elif isinstance(value, property):
            assert f"{name}: " in HOOKS


def _tree(root: type[errors.HawsepipeError]) -> Iterator[type[errors.HawsepipeError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


@pytest.mark.parametrize("error", list(_tree(errors.HawsepipeError)))
def test_every_error_is_documented_and_drawn_with_a_code_of_r4(error: type[errors.HawsepipeError]) -> None:
    assert f"| `{error.__name__}` | {error.status} | {error.code} |" in ERRORS
    assert error.__name__ in (errors.__doc__ or "")
    assert error.code in (definitions.load().codes("http://hl7.org/fhir/ValueSet/issue-type") or ())
    assert error.__doc__


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_every_command_has_help_and_stands_in_the_readme_or_the_operating_page(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    assert f"hawsepipe {name}" in README + (DOCS / "operating.md").read_text(encoding="utf-8")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
