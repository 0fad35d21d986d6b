"""`counterfoil chaos`: a simulated back office, faults, killed workers; and then the books of both sides."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from crm_core.errors import ConfigurationFault, did_you_mean
from terminal.frame import EXIT_PARTIAL, emit, json_option

if TYPE_CHECKING:
    from connectors.conformance.chaos import Progress

_SPOKEN_EVERY_SECONDS = 5.0
_FAULTS_SHOWN = 20


@click.command(short_help="Push through faults and killed workers; count what went wrong.")
@click.option("--connector", required=True, help="Whose simulator is disturbed.")
@click.option("--writes", default=500, show_default=True, type=click.IntRange(min=1), help="Changes that must arrive.")
@click.option(
    "--faults", default=0.3, show_default=True, type=click.FloatRange(0, 0.9), help="Share of requests disturbed."
)
@click.option("--seed", default=1, show_default=True, type=int, help="Chooses which requests, and how.")
@click.option("--kills", type=click.IntRange(min=0), help="Workers ended by kill -9.  [default: one for 170 writes]")
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1, 32), help="Processes at a time.")
@click.option(
    "--slow", default=1.0, show_default=True, type=click.FloatRange(1, 100), help="So many times slower is all here."
)
@json_option
def chaos(
    connector: str,
    writes: int,
    faults: float,
    seed: int,
    kills: int | None,
    workers: int,
    slow: float,
    as_json: bool,
) -> None:
    """Push through faults and killed workers, and count what went wrong.

    Changes of a made-up CRM are pushed by several processes to a simulated back office on this machine. Requests are
    cut, delayed, refused and answered too late; workers are killed. Then the books of both sides are compared:
    duplicated, lost, wrong, unresolved must all be 0. The plan of faults is the same for the same seed.
    """
    from connectors.conformance.chaos import Chaos, run
    from connectors.registry import get_connector
    from simulators.registry import get_rehearsal, rehearsal_names
    from terminal.tables import Column, Table, printable, seconds, show

    try:
        rehearsal = get_rehearsal(connector)
    except KeyError:
        near = did_you_mean(connector, rehearsal_names())
        raise ConfigurationFault(f"there is no simulator for connector {connector!r}{near}") from None
    if not get_connector(connector).manifest.sinks:
        raise ConfigurationFault(f"{connector} takes no writes: there is nothing that could go wrong with them")
    asked = Chaos(writes, faults, seed, writes // 170 if kills is None else kills, workers, slow)
    if asked.kills > writes:
        raise click.UsageError(f"--kills {asked.kills} are more than --writes {writes}")
    with tempfile.TemporaryDirectory(prefix="counterfoil-chaos-") as folder, rehearsal() as running:
        result = run(running, Path(folder) / "hub", asked, told=_Teller(is_quiet=as_json))
    found = result.audit
    if as_json:
        emit({**found.as_data(), "seed": seed})
    else:
        for fault in found.faults[:_FAULTS_SHOWN]:
            click.echo(printable(fault))
        counts = [f"{count:,}" for count in found.as_data().values()]
        columns = (
            Column("connector"),
            Column("seed", align="right"),
            *(Column(name, align="right") for name in found.as_data()),
            Column("disturbed", align="right", leaves_at=2),
            Column("killed", align="right", leaves_at=2),
            Column("time", align="right", leaves_at=1),
        )
        told = result.progress
        row = [connector, str(seed), *counts, f"{told.disturbed:,}", f"{told.killed:,}", seconds(result.seconds)]
        show(Table("chaos", columns, [row]))
    if not found.is_clean:
        raise SystemExit(EXIT_PARTIAL)


class _Teller:
    """A line now and then on stderr."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet, self._spoken = is_quiet, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if self._is_quiet or time.monotonic() < self._spoken + _SPOKEN_EVERY_SECONDS:
            return
        self._spoken = time.monotonic()
        told = f"{progress.ended:,} of {progress.entered:,} entered are done"
        click.echo(f"{told}; {progress.disturbed:,} requests disturbed, {progress.killed:,} workers killed", err=True)
        sys.stderr.flush()
