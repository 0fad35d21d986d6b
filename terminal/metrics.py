"""`counterfoil metrics`: the hub's numbers for Prometheus, for hosts without the HTTP face."""

from __future__ import annotations

import os
from pathlib import Path

import click

from crm_core.errors import ConfigurationFault
from terminal.frame import Frame, pass_frame


@click.command(short_help="The hub's numbers, for Prometheus.")
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write them there at once, for node_exporter's textfile collector (its name must end with .prom).",
)
@pass_frame
def metrics(frame: Frame, file: Path | None) -> None:
    """The hub's numbers in Prometheus' text format; `counterfoil serve` answers the same at /metrics."""
    from sync_jobs.watching.numbers import as_text, hub_numbers

    text = as_text(hub_numbers(frame.hub()))
    if file is None:
        click.echo(text, nl=False)
        return
    # whoever reads the file finds the old numbers or the new ones, never half of them
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ConfigurationFault(f"{file} cannot be written: {error.strerror}") from error
