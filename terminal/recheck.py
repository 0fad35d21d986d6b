"""`counterfoil outbox recheck`: after the hub's database came back from a backup."""

from __future__ import annotations

import click

from terminal.frame import Frame, emit, json_option, pass_frame


@click.command(short_help="After a backup came back: look before sending.")
@click.argument("connection")
@json_option
@pass_frame
def recheck(frame: Frame, connection: str, as_json: bool) -> None:
    """After the database came back from a backup: look before sending.

    What is queued in the backup may have been sent since. The next push looks each of these intents up: what is there
    is adopted, what is absent goes out.
    """
    from sync_jobs.push_operations import recheck as put_in_doubt

    count = put_in_doubt(frame.hub(), connection)
    if as_json:
        emit({"connection": connection, "in_doubt": count})
    elif count:
        click.echo(f"{count:,} intents of {connection} are looked up before they are sent, by the next push")
    else:
        click.echo(f"nothing is queued for {connection}")
