"""Pages for integrators: connections, runs, what was set aside. Each route calls one verb and shows what it gave."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from crm_core.access import Scope
from crm_core.errors import ConfigurationFault, CounterfoilError
from crm_core.ids import CrmId
from crm_core.store import drifts as drift_store
from crm_core.store import letters as letter_store
from crm_core.store import outbox, repository, state
from crm_core.store.letters import DeadLetter
from crm_core.store.outbox import Intent
from http_api.desk.aside_views import (
    NEEDS_A_PERSON,
    against_taken_in,
    entity_of,
    intent_groups,
    intent_rows,
    letter_groups,
    letter_rows,
)
from http_api.desk.connection_views import connection_rows
from http_api.desk.differences import differences, pretty, read_record
from http_api.desk.pages import go_to, hub_of, render, speech_for
from http_api.desk.run_views import run_row, run_rows, run_timeline, shown_counts, speed_chart
from http_api.desk.visitors import CheckedForm, acts, looks, text_of
from http_api.problems import not_found, refusal
from sync_jobs import letter_operations, push_operations
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import get_letters

router = APIRouter(prefix="/desk")

RowId = Annotated[int, Path(ge=1, le=2**53 - 1)]
_RUNS_SHOWN = 40
_ROWS_SHOWN = 50
_STATUSES = ("succeeded", "partial", "held", "interrupted", "failed", "running")


# -- connections and runs ---------------------------------------------------------------------------------------------


@router.get("/connections", dependencies=[looks(Scope.OPERATIONS)])
def connections(request: Request) -> Response:
    """Each connection with its health."""
    hub = hub_of(request)
    breakers = {report.connection: report for report in request.app.state.face.desk.breakers()}
    with closing(hub.database.open()) as session:
        rows = connection_rows(
            hub.settings,
            state.last_runs(session),
            letter_store.count_open_letters(session),
            outbox.count_intents(session),
            drift_store.open_drifts(session),
            breakers,
            hub.clock(),
        )
    return render(request, "connections.html", rows=rows)


@router.get("/runs", dependencies=[looks(Scope.OPERATIONS)])
def runs(request: Request, job: str = "") -> Response:
    """The newest runs: when, how fast, one by one."""
    hub, speech = hub_of(request), speech_for(request)
    with closing(hub.database.open()) as session:
        rows = run_rows(state.list_runs(session, job=job or None, limit=_RUNS_SHOWN))
    speeds = speed_chart(rows, speech)
    return render(
        request,
        "runs.html",
        rows=rows,
        job=job,
        jobs=sorted({*hub.settings.jobs, *hub.settings.connections}),
        timeline=run_timeline(rows, speech, hub.clock()) if rows else "",
        statuses=[name for name in _STATUSES if any(row.status == name for row in rows)],
        speeds=speeds[0] if speeds else "",
        fastest=speeds[1] if speeds else "",
    )


@router.get("/runs/{run_id}", dependencies=[looks(Scope.OPERATIONS)])
def run(request: Request, run_id: RowId) -> Response:
    """One run, by kind of record."""
    with closing(hub_of(request).database.open()) as session:
        found = state.find_run(session, run_id)
        if found is None:
            raise not_found("run", run_id)
        held = state.find_held_pull(session, found.job)
    row = run_row(found, waits_for_approval=held is not None and held.id == found.id)
    return render(request, "run.html", row=row, columns=shown_counts(row))


# -- what was set aside -----------------------------------------------------------------------------------------------


@router.get("/set-aside", dependencies=[looks(Scope.OPERATIONS)])
def set_aside(request: Request, connection: str = "") -> Response:
    """Dead letters, refused and lost intents, by cause."""
    with closing(hub_of(request).database.open()) as session:
        letters = letter_groups(letter_store.count_open_letters(session), connection or None)
        intents = intent_groups(outbox.count_intents(session), connection or None)
    return render(request, "set_aside.html", connection=connection, letter_groups=letters, intent_groups=intents)


@router.get("/letters", dependencies=[looks(Scope.OPERATIONS)])
def letters(
    request: Request, connection: str = "", entity: str = "", cause: str = "", after: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """The open letters of a group."""
    speech = speech_for(request)
    with closing(hub_of(request).database.open()) as session:
        found = letter_store.list_letters(
            session,
            connection=connection or None,
            entity=entity_of(entity),
            cause=cause or None,
            after_id=after,
            limit=_ROWS_SHOWN,
        )
        total = sum(
            group.count
            for group in letter_groups(letter_store.count_open_letters(session), connection or None)
            if entity in ("", group.entity) and cause in ("", group.cause)
        )
    title = speech.word("cause", cause) if cause else speech.say("aside.letters")
    return render(
        request,
        "aside_list.html",
        title=title,
        rows=letter_rows(found),
        total=total,
        more=_more(request, found[-1].id) if len(found) == _ROWS_SHOWN else "",
    )


@router.post("/letters/replay", dependencies=[acts(Scope.OPERATIONS)])
def replay_group(request: Request, form: CheckedForm) -> Response:
    """Map every open letter of a group again."""
    hub = hub_of(request)
    chosen = letter_operations.all_letters(
        hub,
        connection=text_of(form, "connection") or None,
        entity=entity_of(text_of(form, "entity")),
        cause=text_of(form, "cause") or None,
    )
    done = letter_operations.replay_letters(hub, chosen)
    left = len(done.left)
    told = f"told=aside.taken_in:{len(done.letters) - left}" + (f"&told=aside.still_open:{left}" if left else "")
    return go_to(f"/desk/set-aside?{told}")


@router.get("/letters/{letter_id}", dependencies=[looks(Scope.OPERATIONS)])
def letter(request: Request, letter_id: RowId) -> Response:
    """One letter, ready to be mended."""
    (found,) = get_letters(hub_of(request), [letter_id])
    return _letter_page(request, found)


@router.post("/letters/{letter_id}", dependencies=[acts(Scope.OPERATIONS)])
def mend_letter(request: Request, letter_id: RowId, form: CheckedForm) -> Response:
    """Compare, save, replay or discard, as the pressed button says."""
    hub, action = hub_of(request), text_of(form, "action")
    (found,) = get_letters(hub, [letter_id])
    if action == "discard":
        letter_operations.discard_letter(hub, letter_id)
        return go_to("/desk/set-aside?told=letter.discarded")
    text, link = text_of(form, "payload"), text_of(form, "link") or None
    try:
        payload = letter_operations.checked_payload(text.encode(), "what you wrote")
        if action == "compare":
            return _letter_page(request, found, text=text, link=link, typed=payload)
        if action not in ("save", "replay"):
            raise refusal(422, "invalid_request", f"there is no action {action[:40]!r}")
        is_other = differences(_record_of(found.payload), read_record(payload)) != []
        if is_other or link is not None:
            letter_operations.edit_letter(hub, letter_id, payload=payload if is_other else None, link=link)
        if action == "save":
            return go_to(f"/desk/letters/{letter_id}?told=letter.saved")
        done = letter_operations.replay_letters(hub, get_letters(hub, [letter_id]))
    except ConfigurationFault as fault:
        return _letter_page(request, found, text=text, link=link, fault=fault)
    told = "letter.still_open" if done.left else "letter.replayed"
    return go_to(f"/desk/letters/{letter_id}?told={told}")


def _letter_page(
    request: Request,
    found: DeadLetter,
    *,
    text: str | None = None,
    link: str | None = None,
    typed: bytes | None = None,
    fault: CounterfoilError | None = None,
) -> Response:
    hub = hub_of(request)
    with closing(hub.database.open()) as session:
        taken_in = against_taken_in(session, found)
    labels: dict[CrmId, repository.Label] = {}
    if found.candidates:
        labels = repository.labels_of(hub.database.engine, found.entity, [CrmId(one) for one in found.candidates])
    return render(
        request,
        "letter.html",
        status=422 if fault is not None else 200,
        letter=found,
        taken_in=taken_in,
        candidates=[{"id": crm_id, "code": label.code, "name": label.name} for crm_id, label in labels.items()],
        text=pretty(found.payload) if text is None else text,
        link=found.link if link is None else link,
        typed=None if typed is None else differences(_record_of(found.payload), read_record(typed)),
        fault=None if fault is None else str(fault),
    )


# -- intents ----------------------------------------------------------------------------------------------------------


@router.get("/intents", dependencies=[looks(Scope.OPERATIONS)])
def intents(
    request: Request, connection: str = "", entity: str = "", cause: str = "", after: Annotated[int, Query(ge=0)] = 0
) -> Response:
    """The refused and lost intents of a group."""
    speech = speech_for(request)
    with closing(hub_of(request).database.open()) as session:
        found = outbox.list_intents(
            session,
            connection=connection or None,
            entity=entity_of(entity),
            states=NEEDS_A_PERSON,
            cause=cause or None,
            after_id=after,
            limit=_ROWS_SHOWN,
        )
        total = sum(
            group.count
            for group in intent_groups(outbox.count_intents(session), connection or None)
            if entity in ("", group.entity) and cause in ("", group.cause)
        )
    title = speech.word("cause", cause) if cause else speech.say("aside.intents")
    return render(
        request,
        "aside_list.html",
        title=title,
        rows=intent_rows(found),
        total=total,
        more=_more(request, found[-1].id) if len(found) == _ROWS_SHOWN else "",
    )


@router.post("/intents/retry", dependencies=[acts(Scope.OPERATIONS)])
def retry_group(request: Request, form: CheckedForm) -> Response:
    """Let every refused intent of a group go out again."""
    hub, chosen = hub_of(request), list[Intent]()
    with closing(hub.database.open()) as session:
        while True:
            some = outbox.list_intents(
                session,
                connection=text_of(form, "connection") or None,
                entity=entity_of(text_of(form, "entity")),
                states=NEEDS_A_PERSON[:1],
                cause=text_of(form, "cause") or None,
                after_id=chosen[-1].id if chosen else 0,
            )
            chosen += some
            if len(some) < 1000:
                break
    push_operations.retry(hub, [one.id for one in chosen])
    return go_to(f"/desk/set-aside?told=aside.retried:{len(chosen)}")


@router.get("/intents/{intent_id}", dependencies=[looks(Scope.OPERATIONS)])
def intent(request: Request, intent_id: RowId) -> Response:
    """One intent: what will be sent, and what happened to it."""
    return _intent_page(request, intent_id)


@router.post("/intents/{intent_id}", dependencies=[acts(Scope.OPERATIONS)])
def mend_intent(request: Request, intent_id: RowId, form: CheckedForm) -> Response:
    """Compare, save, retry, give up, or tell what became of it, as the pressed button says."""
    hub, action = hub_of(request), text_of(form, "action")
    if action == "cancel":
        push_operations.cancel(hub, [intent_id])
        return go_to(f"/desk/intents/{intent_id}?told=intent.cancelled")
    if action == "absent":
        push_operations.resolve_absent(hub, intent_id)
        return go_to(f"/desk/intents/{intent_id}?told=intent.told_absent")
    text = text_of(form, "payload")
    try:
        if action == "there":
            external_id = text_of(form, "external_id")
            if not external_id:
                raise ConfigurationFault("say under which id it is there")
            push_operations.resolve_there(hub, intent_id, external_id)
            return go_to(f"/desk/intents/{intent_id}?told=intent.told_there")
        record = read_record(letter_operations.checked_payload(text.encode(), "what you wrote"))
        if action == "compare":
            return _intent_page(request, intent_id, text=text, typed=record)
        if action not in ("save", "retry"):
            raise refusal(422, "invalid_request", f"there is no action {action[:40]!r}")
        kept = _record_of(_payload_of(hub, intent_id))
        if differences(kept, record):
            push_operations.edit(hub, intent_id, record)
    except ConfigurationFault as fault:
        return _intent_page(request, intent_id, text=text, fault=fault)
    if action == "save":
        return go_to(f"/desk/intents/{intent_id}?told=intent.saved")
    push_operations.retry(hub, [intent_id])
    return go_to(f"/desk/intents/{intent_id}?told=intent.retried")


def _intent_page(
    request: Request,
    intent_id: int,
    *,
    text: str | None = None,
    typed: Any = None,
    fault: CounterfoilError | None = None,
) -> Response:
    hub = hub_of(request)
    with closing(hub.database.open()) as session:
        found = outbox.get_intent(session, intent_id)
        events = outbox.events_of(session, intent_id)
    kept = _payload_of(hub, intent_id)
    labels = repository.labels_of(hub.database.engine, found.entity, [found.crm_id])
    label = labels.get(found.crm_id)
    return render(
        request,
        "intent.html",
        status=422 if fault is not None else 200,
        intent=found,
        record=f"{label.code} {label.name}" if label is not None else f"#{found.crm_id}",
        events=events,
        text=pretty(kept) if text is None else text,
        typed=None if typed is None else differences(_record_of(kept), typed),
        fault=None if fault is None else str(fault),
    )


def _payload_of(hub: Hub, intent_id: int) -> bytes:
    """What was sent last or would be sent now; what cannot be put into their words, in ours."""
    with closing(hub.database.open()) as session:
        found = outbox.get_intent(session, intent_id)
    if found.payload is not None:
        return found.payload
    try:
        return outbox.encode_content(push_operations.payload_of(hub, found))
    except CounterfoilError:
        return found.content


def _record_of(payload: bytes) -> Any:
    try:
        return read_record(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _more(request: Request, after: int) -> str:
    return (
        str(request.url.include_query_params(after=after).path)
        + "?"
        + request.url.include_query_params(after=after).query
    )
