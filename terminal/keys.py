"""`counterfoil keys`: who may ask the HTTP face for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from terminal.frame import Frame, SuggestingGroup, emit, json_option, pass_frame

if TYPE_CHECKING:
    from crm_core.store.access import ApiKey


@click.group("keys", cls=SuggestingGroup, short_help="Keys of the HTTP API.")
def keys() -> None:
    """Keys of the HTTP API: create, list, revoke."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    metavar="SCOPE",
    help="sales.read, orders.write, operations or admin; may be given again.",
)
@json_option
@pass_frame
def create(frame: Frame, name: str, scopes: Sequence[str], as_json: bool) -> None:
    """Make a key for NAME (a person, a program) and show it, once."""
    from crm_core.access import new_key, scopes_of
    from crm_core.store.access import add_key
    from sync_jobs.operations import opened

    chosen = scopes_of(scopes)
    if not name.strip():
        raise click.UsageError("NAME is empty: say whose key it is")
    hub = frame.hub()
    drawn = new_key()
    with opened(hub) as session:
        made = add_key(session, drawn, name.strip(), chosen, hub.clock())
    if as_json:
        emit({**_key_data(made), "key": drawn.text})
        return
    click.echo(drawn.text)
    click.echo(f"key {made.id} of {made.name}: {', '.join(sorted(made.scopes))}. It is not shown again.", err=True)


@keys.command("list")
@json_option
@pass_frame
def list_(frame: Frame, as_json: bool) -> None:
    """Every key: its id, whose it is, what it opens. Revoked ones, too."""
    from crm_core.store.access import list_keys
    from sync_jobs.operations import opened
    from terminal.tables import Column, Table, moment, show

    with opened(frame.hub()) as session:
        found = list_keys(session)
    if as_json:
        emit([_key_data(key) for key in found])
    elif found:
        columns = (
            *(Column("id"), Column("name", may_shrink=True), Column("scopes", may_shrink=True)),
            *(Column("created"), Column("revoked")),
        )
        rows = [
            [
                *(key.id, key.name, ", ".join(sorted(key.scopes)), moment(key.created_at)),
                moment(key.revoked_at) if key.revoked_at is not None else "",
            ]
            for key in found
        ]
        show(Table("", columns, rows, []))
    else:
        click.echo("no keys yet; `counterfoil keys create NAME --scope sales.read` makes the first one")


@keys.command()
@click.argument("key_id", metavar="ID")
@pass_frame
def revoke(frame: Frame, key_id: str) -> None:
    """Let the key with this ID open nothing any more; who is signed in with it is signed out."""
    from crm_core.store.access import revoke_key
    from sync_jobs.operations import opened

    hub = frame.hub()
    with opened(hub) as session:
        revoked = revoke_key(session, key_id, hub.clock())
    click.echo(f"revoked {revoked.id} of {revoked.name}")


def _key_data(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    }
