"""`counterfoil alerts`: who is told when something needs a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from terminal.frame import EXIT_PARTIAL, Frame, SuggestingGroup, emit, json_option, pass_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sync_jobs.watching.alerts import Told


@click.group(cls=SuggestingGroup, short_help="Who is told when something needs a person.")
def alerts() -> None:
    """Who is told when something needs a person: `[alerts]` in counterfoil.toml says where and after how long."""


@alerts.command("test", short_help="Try the channels.")
@click.argument("channel", required=False)
@json_option
@pass_frame
def test_command(frame: Frame, channel: str | None, as_json: bool) -> None:
    """Send each channel, or CHANNEL (`webhook:NAME`, `mail`), a message that says that nothing is wrong."""
    from sync_jobs.watching.alerts import try_channels

    _render(try_channels(frame.hub(), channel), as_json=as_json, is_test=True)


@alerts.command("send", short_help="Tell what is due.")
@json_option
@pass_frame
def send(frame: Frame, as_json: bool) -> None:
    """Tell every channel what came up and what is over, once. For a timer; `counterfoil serve` does it by itself."""
    from sync_jobs.watching.alerts import send_alerts

    _render(send_alerts(frame.hub()), as_json=as_json, is_test=False)


@alerts.command("list", short_help="What was told, and what could not be.")
@json_option
@pass_frame
def list_command(frame: Frame, as_json: bool) -> None:
    """What was told, and what could not be."""
    from crm_core.store.alerts import list_alerts
    from sync_jobs.operations import opened
    from terminal.tables import Column, Table, moment, printable, show

    with opened(frame.hub()) as session:
        found = list_alerts(session)
    if as_json:
        emit(
            [
                {
                    "channel": one.channel,
                    "kind": one.matter.kind,
                    "connection": one.matter.connection,
                    "since": one.matter.since,
                    "text": one.matter.text,
                    "told_at": one.told_at,
                    "over_at": one.resolved_at,
                    "attempts": one.attempts,
                    "error": one.message,
                }
                for one in found
            ]
        )
        return
    rows = [
        [
            one.channel,
            moment(one.told_at) if one.message is None else f"not yet: {printable(one.message)}",
            printable(one.matter.connection),
            printable(one.matter.text),
        ]
        for one in found
    ]
    columns = (Column("channel"), Column("told", folds=True), Column("connection"), Column("what", folds=True))
    show(Table("" if rows else "nobody has been told anything that is still so", columns, rows))


def _render(done: Sequence[Told], *, as_json: bool, is_test: bool) -> None:
    from terminal.tables import printable

    if as_json:
        emit([{"channel": one.channel, "opened": one.opened, "over": one.over, "error": one.why} for one in done])
    for one in () if as_json else done:
        what = "works" if is_test else f"told of {one.opened} that came up and {one.over} that are over"
        click.echo(f"{one.channel}: {what if one.why is None else f'failed: {printable(one.why)}'}")
    if not as_json and not done:
        click.echo("there is nothing to tell")
    if any(one.why is not None for one in done):
        raise SystemExit(EXIT_PARTIAL)
