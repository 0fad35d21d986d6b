"""`counterfoil enter`: an account or an order is entered into the CRM, and what goes out for it is queued."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from crm_core.errors import ConfigurationFault, EntityRefused
from crm_core.ids import EntityType
from terminal.frame import Frame, SuggestingGroup, complain, emit, json_option, pass_frame

if TYPE_CHECKING:
    from crm_core.store.outbox import Intent
    from sync_jobs.bootstrap import Hub
    from sync_jobs.changes import Saved


@click.group(cls=SuggestingGroup, short_help="Enter an account or an order.")
def enter() -> None:
    """Enter an account or an order: saved together with what goes out for it, or not at all."""


@enter.command()
@click.argument("source", metavar="FILE", type=click.File("rb"))
@json_option
@pass_frame
def account(frame: Frame, source: IO[bytes], as_json: bool) -> None:
    """Enter an account from a file (JSON or YAML, - = stdin); known by its code, it is changed."""
    _enter(frame, EntityType.ACCOUNT, source, as_json=as_json)


@enter.command()
@click.argument("source", metavar="FILE", type=click.File("rb"))
@json_option
@pass_frame
def order(frame: Frame, source: IO[bytes], as_json: bool) -> None:
    """Enter an order from a file (JSON or YAML, - = stdin); known by its number, it is changed."""
    _enter(frame, EntityType.ORDER, source, as_json=as_json)


def _enter(frame: Frame, kind: EntityType, source: IO[bytes], *, as_json: bool) -> None:
    from sync_jobs.entering import enter as save_entered
    from sync_jobs.entry_text import read_entry
    from terminal.intents import names_of

    data = read_entry(*_text(source))
    hub = frame.hub()
    try:
        saved = save_entered(hub, kind, data)
    except EntityRefused as refusal:
        for place, text in refusal.faults:  # one line each: there may be many
            complain(f"{place}: {text}")
        raise SystemExit(refusal.exit_code) from None
    name = names_of(hub, [(kind, saved.crm_id)])[kind, saved.crm_id]
    newest = _newest(hub, saved)
    if as_json:
        emit(
            {
                "entity": kind.value,
                "id": saved.crm_id,
                "record": name,
                "is_new": saved.is_new,
                "is_changed": saved.is_changed,
                "queued": [_intent_data(one) for one in newest if one.id in saved.intents],
                "before": [_intent_data(one) for one in newest if one.id not in saved.intents],
            }
        )
        return
    from terminal.tables import printable

    what = "entered" if saved.is_new else "changed" if saved.is_changed else "unchanged"
    click.echo(f"{kind.value} {printable(name)} is {what} (#{saved.crm_id})")
    for line in _lines(hub, saved, newest):
        click.echo(f"  {printable(line)}")


def _text(source: IO[bytes]) -> tuple[str, str]:
    """(the text, what it is called)."""
    name = getattr(source, "name", "-")
    called = "stdin" if name in ("-", "<stdin>") else str(name)
    try:
        return source.read().decode("utf-8-sig"), called
    except UnicodeDecodeError as error:
        raise ConfigurationFault(f"{called}: not UTF-8 at byte {error.start}") from error


def _newest(hub: Hub, saved: Saved) -> list[Intent]:
    """The newest intent of the record for each connection."""
    from crm_core.store.outbox import list_intents
    from sync_jobs.operations import opened

    with opened(hub) as session:
        found = list_intents(session, entity=saved.entity, crm_id=saved.crm_id)
    return list({intent.connection: intent for intent in found}.values())


def _lines(hub: Hub, saved: Saved, newest: list[Intent]) -> list[str]:
    """What goes out for it, or why nothing does."""
    from terminal.intents import in_words

    lines = []
    for name, settings in hub.settings.connections.items():
        if saved.entity not in settings.push:
            continue
        intent = next((one for one in newest if one.connection == name), None)
        if intent is None:
            why = _STAYS[saved.entity]
            lines.append(f"nothing to send to {name}: {why}")
        elif intent.id in saved.intents:
            lines.append(f"queued for {name}: intent {intent.id}, {intent.action}")
        else:
            lines.append(f"nothing new for {name}: intent {intent.id} is {in_words(intent.state)}")
    return lines or [f"nothing to send: no connection pushes {saved.entity.value}"]


_STAYS = {
    EntityType.ACCOUNT: "a prospect stays here until it is a customer, and what is there unchanged needs no write",
    EntityType.ORDER: "a draft, a quotation or a cancelled order that never went out stays here",
}


def _intent_data(intent: Intent) -> dict[str, Any]:
    return {
        "id": intent.id,
        "connection": intent.connection,
        "action": intent.action,
        "state": intent.state.value,
        "cause": intent.cause,
    }
