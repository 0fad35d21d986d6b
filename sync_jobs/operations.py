"""The verbs that the command line and the HTTP face call. Each opens what it needs and closes it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

from crm_core.errors import (
    Cancelled,
    ConfigurationFault,
    CounterfoilError,
    ErrorBudgetExceeded,
    MassChangeHeld,
    RecordRejected,
    StoreFault,
    TimeLimitReached,
)
from crm_core.ids import EntityType, ExternalId
from crm_core.store import leases, state
from crm_core.store import letters as letter_store
from crm_core.store.letters import DeadLetter
from crm_core.store.sales import credits_of_open_orders
from crm_core.store.session import Session
from sync_jobs import tracing
from sync_jobs.bootstrap import Hub, connected, entities_of
from sync_jobs.decisions import Decision
from sync_jobs.deletions import FINISHED
from sync_jobs.leases import kept
from sync_jobs.mappings_in_force import mapping_of
from sync_jobs.outgoing import all_outgoing
from sync_jobs.prefetch import Heed, heed_nothing
from sync_jobs.process import tuned_for_throughput
from sync_jobs.pull import Puller
from sync_jobs.replay import refuse_without_id, replay_letters, replay_payloads
from sync_jobs.report import Listener, RunReport, SilentListener

_CREDITS_AT_ONCE = 50


def pull(
    hub: Hub,
    job_name: str,
    *,
    entities: Sequence[EntityType] | None = None,
    full: bool = False,
    is_rehearsal: bool = False,
    approves: int | None = None,
    listener: Listener | None = None,
    heed: Heed = heed_nothing,
) -> RunReport:
    """Pull a job. A run that was stopped or killed goes on where it was; its report says how it ended.

    is_rehearsal: everything is done inside one transaction that is rolled back, so that the listener's changes are
    exactly what a pull would write. approves: the held run that a person lets go on; this pull has no guards, the next
    one has them again. heed: asked before each page, and while one is waited for; raises Cancelled or TimeLimitReached
    to end the run at its checkpoint. Raises ConfigurationFault (also for an entity that is not the job's and for a run
    that cannot be approved), LeaseUnavailable, and what stops the connection, after the run is recorded.
    """
    chosen = chosen_entities(hub, job_name, entities)

    def work(puller: Puller) -> None:
        for entity in chosen:
            puller.pull(entity, full=full)

    kind = state.PULL_KINDS[full]
    return run_job(hub, job_name, kind, chosen, work, listener, is_rehearsal=is_rehearsal, approves=approves, heed=heed)


def chosen_entities(hub: Hub, job_name: str, entities: Sequence[EntityType] | None) -> list[EntityType]:
    """These of a job's entities (None = all), in the order that they need. Raises ConfigurationFault for another."""
    job = hub.settings.get_job(job_name)
    offered = entities_of(job, hub.settings.get_connection(job.connection))
    for entity in entities or ():
        if entity not in offered:
            raise ConfigurationFault(f"job {job_name!r} does not pull {entity.value}; it pulls {', '.join(offered)}")
    return offered if entities is None else [entity for entity in offered if entity in entities]


def refresh_credit(hub: Hub, job_name: str, *, heed: Heed = heed_nothing) -> RunReport:
    """Look again at the credit of every account with an open order: one call for each, nothing else is read."""
    job = hub.settings.get_job(job_name)
    chosen = entities_of(job, hub.settings.get_connection(job.connection))

    def work(puller: Puller) -> None:
        keys = credits_of_open_orders(puller.session, job.connection)
        with puller.watched(EntityType.CREDIT) as stored:
            for start in range(0, len(keys), _CREDITS_AT_ONCE):
                _look_at(puller, EntityType.CREDIT, keys[start : start + _CREDITS_AT_ONCE])
                stored()

    return run_job(hub, job_name, "credit", chosen, work, None, heed=heed)


def _look_at(puller: Puller, entity: EntityType, keys: Sequence[ExternalId]) -> None:
    """Fetch these records by id and take them in; one that is gone over there is left to the next full read."""
    records, asked_at = [], puller.clock()
    for key in keys:
        puller.heed()
        with suppress(RecordRejected):
            records.append(puller.streams[entity].source.get(key))
    puller.take_records(entity, records, asked_at=asked_at)


def replay(hub: Hub, job_name: str, *, listener: Listener | None = None, is_rehearsal: bool = False) -> RunReport:
    """Map every kept record again that an older mapping version made. The back office is not called."""
    job = hub.settings.get_job(job_name)
    chosen = entities_of(job, hub.settings.get_connection(job.connection))

    def work(puller: Puller) -> None:
        for entity in chosen:
            replay_payloads(puller, entity)

    return run_job(hub, job_name, "replay", chosen, work, listener, is_rehearsal=is_rehearsal)


def replay_dead_letters(
    hub: Hub, letters: Sequence[DeadLetter], *, listener: Listener | None = None
) -> list[RunReport]:
    """Map the payloads of these letters again, in as few runs as the jobs allow.

    Raises ConfigurationFault for a letter without an id and for an entity that no job pulls, before anything is done.
    """
    refuse_without_id(letters)
    shares = [
        share
        for connection in dict.fromkeys(letter.connection for letter in letters)
        for share in _by_job(hub, connection, [letter for letter in letters if letter.connection == connection])
    ]
    reports = []
    for job_name, mine in shares:
        job = hub.settings.get_job(job_name)
        chosen = entities_of(job, hub.settings.get_connection(job.connection))

        def work(puller: Puller, mine: list[DeadLetter] = mine) -> None:
            replay_letters(puller, mine)

        reports.append(run_job(hub, job_name, "dead letters", chosen, work, listener))
    return reports


def _by_job(hub: Hub, connection: str, letters: list[DeadLetter]) -> list[tuple[str, list[DeadLetter]]]:
    """The letters of a connection with the jobs that pull their entities, the job that takes most of them first."""
    settings = hub.settings.get_connection(connection)
    jobs = {
        job.name: set(entities_of(job, settings))
        for job in hub.settings.taking_jobs.values()
        if job.connection == connection
    }
    shares = []
    left = {letter.entity for letter in letters}
    while left:
        name = max(jobs, key=lambda job: len(left & jobs[job]))
        taken = left & jobs[name]
        if not taken:
            names = ", ".join(sorted(left))
            raise ConfigurationFault(f"no job of connection {connection!r} pulls {names}: it cannot be replayed")
        shares.append((name, [letter for letter in letters if letter.entity in taken]))
        left -= taken
    return shares


def run_job(
    hub: Hub,
    job_name: str,
    kind: str,
    entities: list[EntityType],
    work: Callable[[Puller], None],
    listener: Listener | None,
    *,
    is_rehearsal: bool = False,
    approves: int | None = None,
    heed: Heed = heed_nothing,
) -> RunReport:
    """Lease, run record, work, end of the run record: the frame of everything that takes records in."""
    job = hub.settings.get_job(job_name)
    outgoing = all_outgoing(hub.settings)
    with opened(hub, is_rehearsal=is_rehearsal) as session:
        lease = leases.take_lease(session, job.connection, hub.clock())
        try:
            if approves is not None:
                _approve(session, hub, job_name, kind, approves)
            run_id = state.start_run(session, job_name, job.connection, kind, hub.clock())
            report = RunReport(run_id, job_name, job.connection)
            failure: BaseException | None = None
            try:
                keeping = nullcontext() if is_rehearsal else kept(hub.database, lease.name, lease.renewed_at(hub.clock))
                with tuned_for_throughput(), keeping, connected(hub, job, entities) as (_, streams):
                    puller = Puller(
                        session,
                        job.connection,
                        streams,
                        job.policy,
                        hub.clock,
                        listener or SilentListener(),
                        lease,
                        report,
                        is_approved=approves is not None,
                        outgoing=outgoing,
                        heed=heed,
                    )
                    with tracing.span("run", run=run_id, job=job_name, connection=job.connection, kind=kind):
                        work(puller)
            except BaseException as error:
                failure = error
                raise
            finally:
                # a database that has just failed cannot keep the end of the run: the first error counts
                with suppress(StoreFault) if failure is not None else nullcontext():
                    _finish(session, hub, report, failure)
        finally:
            with suppress(StoreFault):
                lease.release(session, hub.clock())
    return report


def _finish(session: Session, hub: Hub, report: RunReport, failure: BaseException | None) -> None:
    if failure is None:
        is_partial = report.total(Decision.DEAD) + report.total(Decision.DEFERRED) + report.unrepaired > 0
        report.status = "partial" if is_partial else "succeeded"
    elif isinstance(failure, MassChangeHeld | ErrorBudgetExceeded):
        report.status, report.error = "held", str(failure)
    elif isinstance(failure, KeyboardInterrupt):
        report.status, report.error = "interrupted", "stopped by the user"
    elif isinstance(failure, Cancelled | TimeLimitReached):
        report.status, report.error = "interrupted", str(failure)
    else:
        report.status = "failed"
        report.error = str(failure) if isinstance(failure, CounterfoilError) else f"{type(failure).__name__}: {failure}"
    with session.transaction():
        state.finish_run(session, report.run_id, report.status, hub.clock(), report.as_data(), report.error)


def _approve(session: Session, hub: Hub, job_name: str, kind: str, run_id: int) -> None:
    """Note that a person lets this run go on. Raises ConfigurationFault when it is not the one that is held."""
    kinds = state.PULL_KINDS if kind in state.PULL_KINDS else (kind,)
    held = state.find_held_pull(session, job_name, kinds)
    if held is None:
        raise ConfigurationFault(
            f"no {kinds[0]} of job {job_name!r} is held: there is nothing to approve in run {run_id}"
        )
    if held.id != run_id:
        raise ConfigurationFault(
            f"run {run_id} is not the {kinds[0]} of job {job_name!r} that is held: that is run {held.id}"
            f" ({held.error}); approve {held.id} when that is right"
        )
    state.approve_run(session, run_id, hub.clock())


@contextmanager
def opened(hub: Hub, *, is_rehearsal: bool = False) -> Iterator[Session]:
    """A session on the hub's database."""
    session = hub.database.open(is_rehearsal=is_rehearsal)
    try:
        yield session
    finally:
        session.close()


def outdated_records(hub: Hub, job_name: str) -> dict[EntityType, int]:
    """How many records were made by an older version of their mapping: `counterfoil mapping replay` brings them up."""
    job = hub.settings.get_job(job_name)
    connection = hub.settings.get_connection(job.connection)
    found: dict[EntityType, int] = {}
    with opened(hub) as session:
        for entity in entities_of(job, connection):
            version = mapping_of(connection, entity).version
            stream_id = state.stream_id_of(session, job.connection, entity)
            count = session.all(
                "SELECT count(*) FROM bindings WHERE stream_id = ? AND mapping NOT IN (?, ?) AND deleted_at IS NULL",
                (stream_id, version, FINISHED),
            )[0][0]
            if count:
                found[entity] = int(count)
    return found


def get_letters(hub: Hub, ids: Sequence[int]) -> list[DeadLetter]:
    """These dead letters. Raises StoreFault for one that does not exist."""
    with opened(hub) as session:
        return [letter_store.get_letter(session, letter_id) for letter_id in ids]
