"""`counterfoil dead-letters`: records set aside, looked at, mended and taken in again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from terminal.frame import (
    EXIT_PARTIAL,
    Frame,
    SuggestingGroup,
    emit,
    entity_named,
    json_option,
    pass_frame,
    payload_as_data,
)
from terminal.payloads import pretty, with_changes

if TYPE_CHECKING:
    from crm_core.store.letters import DeadLetter, Deferral

_STATUSES = ("open", "resolved", "discarded")


@click.group("dead-letters", cls=SuggestingGroup, short_help="Records that were set aside.")
def dead_letters() -> None:
    """Records that were set aside: list, show, edit, replay, discard."""


# -- looking ----------------------------------------------------------------------------------------------------------


@dead_letters.command("list")
@click.option("--connection")
@click.option("--entity")
@click.option("--cause")
@click.option("--status", type=click.Choice(_STATUSES), default="open", show_default=True)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Letters that are shown.")
@json_option
@pass_frame
def list_(
    frame: Frame,
    connection: str | None,
    entity: str | None,
    cause: str | None,
    status: str,
    limit: int,
    as_json: bool,
) -> None:
    """Dead letters by cause, then one by one; and the records that wait for another one."""
    from crm_core.store.letters import list_deferrals
    from sync_jobs.letter_operations import all_letters
    from sync_jobs.operations import opened
    from terminal.tables import show

    hub = frame.hub()
    if connection is not None:
        hub.settings.get_connection(connection)
    chosen = entity_named(entity) if entity is not None else None
    letters = all_letters(hub, connection=connection, entity=chosen, cause=cause, status=status)
    with opened(hub) as session:
        waiting = [] if cause or status != "open" else list_deferrals(session, connection=connection)
    waiting = [deferral for deferral in waiting if chosen is None or deferral.entity is chosen]
    if as_json:
        emit({"letters": [_letter_data(one) for one in letters], "waiting": [_deferral_data(one) for one in waiting]})
        return
    if not letters and not waiting:
        click.echo("no dead letters, and nothing waits")
        return
    from terminal.reports import cause_table, letter_table, waiting_table

    if letters:
        causes = Counter((letter.cause, letter.entity.value, letter.field or "") for letter in letters)
        show(cause_table(causes))
        click.echo()
        show(letter_table(letters[:limit], len(letters)))
    if letters and waiting:
        click.echo()
    if waiting:
        show(waiting_table(waiting[:limit], len(waiting)))


@dead_letters.command("show")
@click.argument("letter_id", metavar="ID", type=int)
@json_option
@pass_frame
def show_letter(frame: Frame, letter_id: int, as_json: bool) -> None:
    """One letter: why, which field, and the record as the back office gave it."""
    from sync_jobs.operations import get_letters

    letter = get_letters(frame.hub(), [letter_id])[0]
    if as_json:
        emit(_letter_data(letter))
        return
    from terminal.tables import moment, printable

    facts = {
        "record": f"{letter.entity.value} {letter.external_id} of {letter.connection}",
        "status": letter.status,
        "cause": letter.cause,
        "field": letter.field or "",
        "message": letter.message,
        "candidates": ", ".join(f"#{crm_id}" for crm_id in letter.candidates),
        "link": letter.link or "",
        "attempts": str(letter.attempts),
        "first": f"{moment(letter.first_at)}, last {moment(letter.last_at)}, run {letter.run_id}",
    }
    click.echo(f"dead letter {letter.id}")
    for name, text in facts.items():
        if text:
            click.echo(f"  {name:<11} {printable(text)}")
    click.echo(pretty(letter.payload))
    if letter.candidates and letter.status == "open" and not letter.link:
        click.echo(f"choose: counterfoil dead-letters edit {letter.id} --link {letter.candidates[0]} (or --link new)")


# -- mending ----------------------------------------------------------------------------------------------------------


@dead_letters.command()
@click.argument("letter_id", metavar="ID", type=int)
@click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="e.g. lines[0].unit=box; VALUE as JSON or text."
)
@click.option("--file", "source", type=click.File("rb"), help="Take the whole record from a file (- = stdin).")
@click.option("--link", metavar="CRM_ID|new", help="For a doubtful match: the one it is, or that it is a new one.")
@pass_frame
def edit(frame: Frame, letter_id: int, changes: Sequence[str], source: Any, link: str | None) -> None:
    """Change what will be replayed; without options in $EDITOR. The back office is not changed: mend it there, too."""
    from sync_jobs.letter_operations import checked_link, checked_payload, edit_letter
    from sync_jobs.operations import get_letters

    if source is not None and changes:
        raise click.UsageError("--file and --set do not go together")
    hub = frame.hub()
    letter = get_letters(hub, [letter_id])[0]
    if link is not None:
        link = checked_link(hub, letter, link)
    payload: bytes | None = None
    if source is not None:
        payload = checked_payload(source.read(), "the file")
    elif changes:
        payload = with_changes(letter.payload, changes)
    elif link is None:
        text = click.edit(pretty(letter.payload), extension=".json")
        payload = None if text is None else checked_payload(text.encode(), "what you wrote")
    if payload == letter.payload:
        payload = None
    if payload is None and link is None:
        click.echo("nothing changed")
        return
    edit_letter(hub, letter_id, payload=payload, link=link)
    click.echo(f"edited; take it in with `counterfoil dead-letters replay {letter_id}`")


@dead_letters.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--cause", help="All open letters of this cause.")
@click.option("--all", "every", is_flag=True, help="All open letters.")
@json_option
@pass_frame
def replay(frame: Frame, ids: Sequence[int], cause: str | None, every: bool, as_json: bool) -> None:
    """Map letters again, edited or not, without asking the back office. What succeeds is resolved."""
    from sync_jobs.letter_operations import all_letters, replay_letters
    from sync_jobs.operations import get_letters
    from terminal.progress import watching

    if bool(ids) + (cause is not None) + every != 1:
        raise click.UsageError("say which: IDs, --cause CAUSE or --all")
    hub = frame.hub()
    letters = get_letters(hub, ids) if ids else all_letters(hub, cause=cause)
    with watching(is_quiet=as_json) as watcher:
        replayed = replay_letters(hub, letters, listener=watcher)
    if replayed.without_id:
        click.echo(f"{replayed.without_id} have no id and cannot be replayed: mend them in the back office", err=True)
    left = replayed.left
    if as_json:
        emit(
            {
                "replayed": len(letters),
                "resolved": len(letters) - len(left),
                "open": [_letter_data(one) for one in left],
            }
        )
    else:
        click.echo(f"{len(letters) - len(left)} of {len(letters)} taken in")
        if left:
            from terminal.reports import letter_table
            from terminal.tables import show

            show(letter_table(left[:50], len(left)))
    if left:
        raise SystemExit(EXIT_PARTIAL)


@dead_letters.command()
@click.argument("ids", nargs=-1, type=int, required=True)
@pass_frame
def discard(frame: Frame, ids: Sequence[int]) -> None:
    """Decide that these records are not wanted as they are. A later change of theirs comes in as usual."""
    from sync_jobs.letter_operations import discard_letter

    hub = frame.hub()
    for letter_id in ids:
        discard_letter(hub, letter_id)
        click.echo(f"discarded {letter_id}")


def _letter_data(letter: DeadLetter) -> dict[str, Any]:
    return {
        name: payload_as_data(letter.payload) if name == "payload" else getattr(letter, name)
        for name in letter.__slots__
        if name != "fingerprint"
    }


def _deferral_data(deferral: Deferral) -> dict[str, Any]:
    return {
        name: payload_as_data(deferral.payload) if name == "payload" else getattr(deferral, name)
        for name in deferral.__slots__
        if name != "fingerprint"
    }
