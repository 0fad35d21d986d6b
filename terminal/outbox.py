"""`counterfoil outbox`: the writes that we mean to make, looked at, mended, let go, given up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from crm_core.errors import ConfigurationFault, CounterfoilError, StoreFault, did_you_mean
from crm_core.intents import OPEN_STATES, IntentState
from terminal.frame import Frame, SuggestingGroup, emit, entity_named, json_option, pass_frame, payload_as_data
from terminal.payloads import as_record, encoded, pretty, with_changes
from terminal.recheck import recheck

if TYPE_CHECKING:
    from crm_core.store.outbox import Intent
    from sync_jobs.bootstrap import Hub

_OPEN, _ALL = "open", "all"
_AT_ONCE = 1000


@click.group(cls=SuggestingGroup, short_help="What goes out: waiting, set aside, done.")
def outbox() -> None:
    """What goes out: list, show, retry, cancel, resolve, edit, recheck."""


outbox.add_command(recheck)


# -- looking ----------------------------------------------------------------------------------------------------------


@outbox.command("list")
@click.option("--connection")
@click.option("--entity")
@click.option(
    "--state",
    default=_OPEN,
    show_default=True,
    help="open (not at its end), all, or one: queued, rejected, outcome_unknown, ...",
)
@click.option("--cause")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), help="Intents that are shown.")
@json_option
@pass_frame
def list_(
    frame: Frame, connection: str | None, entity: str | None, state: str, cause: str | None, limit: int, as_json: bool
) -> None:
    """Intents by cause, then one by one: which record, where it stands, since when, when it moves."""
    from crm_core.store.outbox import list_intents
    from sync_jobs.operations import opened
    from terminal.intents import cause_table, counts_by_cause, intent_data, intent_table, record_names
    from terminal.tables import show

    hub = frame.hub()
    if connection is not None:
        hub.settings.get_connection(connection)
    chosen = entity_named(entity) if entity is not None else None
    states = _states_named(state)
    with opened(hub) as session:
        counts = counts_by_cause(session, connection=connection, entity=chosen, states=states, cause=cause)
        found = list_intents(session, connection=connection, entity=chosen, states=states, cause=cause, limit=limit)
    total = sum(row[4] for row in counts)
    names = record_names(hub, found)
    if as_json:
        groups = [dict(zip(("connection", "entity", "state", "cause", "intents"), row, strict=True)) for row in counts]
        listed = [intent_data(one, names[one.id]) for one in found]
        emit({"counts": groups, "intents": listed, "left_out": total - len(found)})
        return
    if not found:
        click.echo("nothing is on its way, and nothing waits" if state == _OPEN else "no such intents")
        return
    show(cause_table(counts))
    click.echo()
    show(intent_table(found, names, _next_tries(hub, found), hub.clock(), total))


def _states_named(name: str) -> list[IntentState]:
    """Raises ConfigurationFault that names the nearest one."""
    wanted = name.lower().replace("-", "_").replace(" ", "_")
    if wanted in (_OPEN, _ALL):
        return [state for state in IntentState if wanted == _ALL or state in OPEN_STATES]
    known = [state.value for state in IntentState]
    if wanted not in known:
        raise ConfigurationFault(f"there is no state {name!r}{did_you_mean(wanted, [_OPEN, _ALL, *known])}")
    return [IntentState(wanted)]


def _next_tries(hub: Hub, intents: Sequence[Intent]) -> dict[int, str]:
    """When each moves, with the name of the record that it waits for."""
    from crm_core.ids import CrmId, EntityType
    from terminal.intents import names_of, next_try

    waits = {
        intent.id: (EntityType(intent.waits_entity), CrmId(intent.waits_id))
        for intent in intents
        if intent.waits_entity is not None and intent.waits_id is not None
    }
    names = names_of(hub, list(waits.values()), is_short=True)
    now = hub.clock()
    return {
        intent.id: next_try(intent, now, names[waits[intent.id]] if intent.id in waits else None) for intent in intents
    }


@outbox.command("show")
@click.argument("intent_id", metavar="ID", type=int)
@click.option("--field", "path", metavar="PATH", help="Where one field comes from, e.g. lines[0].quantity.")
@json_option
@pass_frame
def show_intent(frame: Frame, intent_id: int, path: str | None, as_json: bool) -> None:
    """One intent: where it stands and why, its keys, its history, and what was sent or would be."""
    from crm_core.store.outbox import events_of
    from sync_jobs.operations import opened
    from terminal.intents import facts_of, in_words, intent_data, record_names
    from terminal.tables import moment, printable

    hub = frame.hub()
    intent = _intent(hub, intent_id)
    if path is not None:
        _explain(hub, intent, path, as_json=as_json)
        return
    name = record_names(hub, [intent])[intent.id]
    with opened(hub) as session:
        events = events_of(session, intent_id)
    payload, error = _payload(hub, intent)
    if as_json:
        shown = None if payload is None else payload_as_data(encoded(payload))
        emit({**intent_data(intent, name), "payload": shown, "payload_error": error, "events": events})
        return
    click.echo(f"intent {intent.id}")
    for title, text in facts_of(intent, name, _next_tries(hub, [intent])[intent.id]):
        if text:
            click.echo(f"  {title:<11} {printable(text)}")
    for event in events:
        message = f": {printable(event.message)}" if event.message else ""
        click.echo(f"  {moment(event.at)}  {event.event} -> {in_words(event.state)}{message}")
    click.echo(_heading(intent))
    click.echo(pretty(encoded(payload)) if payload is not None else f"  nothing: {printable(error or '')}")


def _heading(intent: Intent) -> str:
    if intent.is_edited and intent.state in OPEN_STATES:
        return "goes out as it was edited:"
    if intent.payload is not None:
        return "sent last:" if intent.attempts else "was to be sent:"
    return "would be sent:"


def _payload(hub: Hub, intent: Intent) -> tuple[dict[str, Any] | None, str | None]:
    """What was sent last, or what would be sent now; else why it cannot be told."""
    from sync_jobs.push_operations import payload_of

    try:
        return payload_of(hub, intent), None
    except StoreFault:
        raise
    except CounterfoilError as fault:
        return None, str(fault)


def _explain(hub: Hub, intent: Intent, path: str, *, as_json: bool) -> None:
    from mappings.paths import parse_path
    from sync_jobs.push_operations import explain
    from terminal.intents import record_names
    from terminal.mapped import shortened
    from terminal.tables import printable

    mapped, name = explain(hub, intent, path), record_names(hub, [intent])[intent.id]
    sent = None if intent.payload is None else parse_path(path).find_in(as_record(intent.payload))
    if as_json:
        emit(
            {
                "intent": intent.id,
                "field": path,
                "sources": [{"path": source, "value": value} for source, value in mapped.sources],
                "rule": mapped.rule,
                "place": mapped.place,
                "mapping_version": mapped.version,
                "sent_by_version": intent.mapping,
                "result": mapped.result,
                "error": mapped.error,
                "is_edited": intent.is_edited,
                "sent": sent,
            }
        )
        return
    lines = [("intent", f"{intent.id}: {intent.action} {intent.entity.value} {name} for {intent.connection}")]
    lines += [("in the CRM", f"{source} = {_quoted(value)}") for source, value in mapped.sources]
    lines += [("in the CRM", "nothing: the rule reads none")] if not mapped.sources else []
    lines += [("rule", mapped.rule), ("", shortened(mapped.place)), ("mapping", f"version {mapped.version}")]
    if intent.mapping not in (None, mapped.version):
        lines.append(("", f"it was sent by version {intent.mapping}"))
    lines.append(("error", mapped.error) if mapped.error else ("result", _quoted(mapped.result)))
    if intent.payload is not None:
        lines.append(("edited" if intent.is_edited else "sent", _quoted(sent)))
    for title, text in lines:
        click.echo(f"{title:<11} {printable(text)}")


def _quoted(value: Any) -> str:
    return encoded(value).decode()


# -- deciding ---------------------------------------------------------------------------------------------------------


@outbox.command()
@click.argument("ids", nargs=-1, type=int)
@click.option("--cause", help="All rejected intents of this cause.")
@click.option("--all", "every", is_flag=True, help="All rejected intents.")
@json_option
@pass_frame
def retry(frame: Frame, ids: Sequence[int], cause: str | None, every: bool, as_json: bool) -> None:
    """Let rejected intents go out again: edited as they were edited, others mapped anew, under their old key."""
    from sync_jobs.push_operations import retry as let_go

    if bool(ids) + (cause is not None) + every != 1:
        raise click.UsageError("say which: IDs, --cause CAUSE or --all")
    hub = frame.hub()
    chosen = list(dict.fromkeys(ids)) if ids else [one.id for one in _rejected(hub, cause)]
    _told(hub, let_go(hub, chosen), "goes out with the next `counterfoil push`", as_json=as_json)


def _rejected(hub: Hub, cause: str | None) -> list[Intent]:
    """Every rejected intent, whatever their number. Raises ConfigurationFault for a cause that none of them has."""
    from crm_core.store.outbox import count_intents, list_intents
    from sync_jobs.operations import opened

    found: list[Intent] = []
    with opened(hub) as session:
        if cause is not None:
            known = {row[3] for row in count_intents(session) if row[2] == IntentState.REJECTED and row[3]}
            if cause not in known:
                raise ConfigurationFault(f"no rejected intent has the cause {cause!r}{did_you_mean(cause, known)}")
        while True:
            after = found[-1].id if found else 0
            some = list_intents(session, states=[IntentState.REJECTED], cause=cause, after_id=after, limit=_AT_ONCE)
            found += some
            if len(some) < _AT_ONCE:
                return found


@outbox.command()
@click.argument("ids", nargs=-1, type=int, required=True)
@json_option
@pass_frame
def cancel(frame: Frame, ids: Sequence[int], as_json: bool) -> None:
    """Give intents up: they are not sent. What the CRM has stays, and what was sent is not taken back."""
    from sync_jobs.push_operations import cancel as give_up

    hub = frame.hub()
    _told(hub, give_up(hub, list(dict.fromkeys(ids))), "is given up; the CRM keeps its content", as_json=as_json)


@outbox.command()
@click.argument("intent_id", metavar="ID", type=int)
@click.option("--there", "external_id", metavar="EXTERNAL_ID", help="It is there, under this id of theirs.")
@click.option("--absent", is_flag=True, help="It is not there: it goes out again.")
@json_option
@pass_frame
def resolve(frame: Frame, intent_id: int, external_id: str | None, absent: bool, as_json: bool) -> None:
    """Say what became of a write whose answer was lost, after somebody has looked over there."""
    from sync_jobs.push_operations import resolve_absent, resolve_there

    if (external_id is not None) + absent != 1:
        raise click.UsageError("say either --there EXTERNAL_ID or --absent")
    hub = frame.hub()
    intent = _intent(hub, intent_id)
    if intent.state is not IntentState.OUTCOME_UNKNOWN and (absent or intent.state is not IntentState.REJECTED):
        raise StoreFault(f"intent {intent_id} is {intent.state}: nobody has to find out what became of it")
    if external_id is not None:
        if not external_id.strip():
            raise ConfigurationFault("--there: an id of theirs cannot be empty")
        done, said = resolve_there(hub, intent_id, external_id.strip()), f"is there as {external_id.strip()}"
    else:
        done, said = resolve_absent(hub, intent_id), "is not there; it goes out with the next `counterfoil push`"
    _told(hub, [done], said, as_json=as_json)


@outbox.command()
@click.argument("intent_id", metavar="ID", type=int)
@click.option(
    "--set", "changes", multiple=True, metavar="PATH=VALUE", help="e.g. lines[0].unit=box; VALUE as JSON or text."
)
@click.option("--file", "source", type=click.File("rb"), help="Take all that is sent from a file (- = stdin).")
@json_option
@pass_frame
def edit(frame: Frame, intent_id: int, changes: Sequence[str], source: Any, as_json: bool) -> None:
    """Change what a rejected intent will send; without options in $EDITOR. The CRM is not changed: mend it, too."""
    from sync_jobs.letter_operations import checked_payload
    from sync_jobs.push_operations import edit as replace_payload

    if source is not None and changes:
        raise click.UsageError("--file and --set do not go together")
    hub = frame.hub()
    intent = _intent(hub, intent_id)
    if intent.state is not IntentState.REJECTED:
        raise StoreFault(f"intent {intent.id} is {intent.state}: only a rejected one can be edited")
    before: bytes | None = None
    if source is not None:
        after: bytes | None = checked_payload(source.read(), "the file")
    else:
        payload, error = _payload(hub, intent)
        if payload is None:
            raise ConfigurationFault(f"{error}; mend the mapping or the record, or give all of it with --file")
        before = encoded(payload)
        after = with_changes(before, changes) if changes else _in_editor(before)
    if after is None or after == before:
        if as_json:
            _told(hub, [intent], "", as_json=True)
        else:
            click.echo("nothing changed")
        return
    _check(hub, intent, as_record(after))
    done = replace_payload(hub, intent_id, as_record(after))
    _told(hub, [done], f"is edited; let it go with `counterfoil outbox retry {intent_id}`", as_json=as_json)


def _in_editor(payload: bytes) -> bytes | None:
    from sync_jobs.letter_operations import checked_payload

    text = click.edit(pretty(payload), extension=".json")
    return None if text is None else checked_payload(text.encode(), "what you wrote")


def _check(hub: Hub, intent: Intent, payload: dict[str, Any]) -> None:
    """Raises ConfigurationFault for what the sink does not know or takes in another form."""
    from mappings.payload_check import faults_of_payload
    from sync_jobs.push_operations import outgoing_over

    spec = outgoing_over(hub, intent.connection, intent.entity)[intent.entity].spec
    faults = faults_of_payload(payload, spec, is_create=intent.action == "create")
    if faults:
        told = "; ".join(f"{place}: {text}" for place, text in faults)
        raise ConfigurationFault(f"{told}; nothing was changed")


# -- small things -----------------------------------------------------------------------------------------------------


def _intent(hub: Hub, intent_id: int) -> Intent:
    """Raises StoreFault when there is none."""
    from crm_core.store.outbox import get_intent
    from sync_jobs.operations import opened

    with opened(hub) as session:
        return get_intent(session, intent_id)


def _told(hub: Hub, intents: Iterable[Intent], said: str, *, as_json: bool) -> None:
    """What was decided, one line each."""
    from terminal.intents import intent_data, record_names
    from terminal.tables import printable

    found = list(intents)
    names = record_names(hub, found)
    if as_json:
        emit([intent_data(one, names[one.id]) for one in found])
        return
    for one in found:
        click.echo(f"intent {one.id}, {one.entity.value} {printable(names[one.id])} for {one.connection}, {said}")
    if not found:
        click.echo("there are none")
