"""`counterfoil clean`: what is older than it is kept goes."""

from __future__ import annotations

import click

from terminal.frame import Frame, configure_logs, emit, json_option, pass_frame


@click.command(short_help="Let go what is older than it is kept.")
@click.option("--dry-run", is_flag=True, help="Only count what would go.")
@json_option
@pass_frame
def clean(frame: Frame, dry_run: bool, as_json: bool) -> None:
    """Let go what is older than `[retention]` keeps it: runs, payloads of deleted records, letters, ended intents.

    What the hub still works with stays, however old it is. Runs and pushes go on meanwhile.
    """
    from sync_jobs.retention import clean as clean_up
    from terminal.tables import Column, Table, moment, show

    hub = frame.hub()
    log = configure_logs(frame.log) if frame.log else None
    done = []
    for one in clean_up(hub, is_rehearsal=dry_run):
        done.append(one)
        if log is not None:
            log.info("cleaned", what=one.name, counts={"gone" if not dry_run else "old": one.count})
    if as_json:
        emit(
            {
                "is_dry_run": dry_run,
                "cleaned": [{"what": one.name, "before": one.before, "count": one.count} for one in done],
            }
        )
        return
    title = "dry run: nothing was taken away" if dry_run else "cleaned"
    rows = [[one.name, moment(one.before), f"{one.count:,}"] for one in done]
    columns = (
        Column("what"),
        Column("older than", leaves_at=1),
        Column("would go" if dry_run else "gone", align="right"),
    )
    show(Table(title, columns, rows))
