"""`counterfoil connector new`: a connector to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from terminal.frame import SuggestingGroup


@click.group(cls=SuggestingGroup, short_help="For those who write a connector.")
def connector() -> None:
    """For those who write a connector."""


@connector.command()
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where.  [default: here]"
)
def new(name: str, folder: Path) -> None:
    """Write a project for a new connector: package, mappings, simulator, and the kit's tests, which pass.

    NAME in small letters, e.g. sage_x3.
    """
    from connectors.scaffold.generate import generate

    made = generate(name, folder)
    click.echo(f"wrote {made}")
    click.echo(f"next: pip install -e '{made}[test]', then pytest in it; docs/write-a-connector.md goes through it")
