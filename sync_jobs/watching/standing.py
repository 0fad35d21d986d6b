"""How the hub stands, connection by connection: what `counterfoil status` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from crm_core.store.alerts import Concern
from crm_core.store.state import PULL_KINDS, PUSH_KIND, Run
from crm_core.store.watch import Holder, Pile, read_facts
from sync_jobs.bootstrap import Hub
from sync_jobs.settings import ConnectionSettings
from sync_jobs.watching.alert_settings import alert_settings
from sync_jobs.watching.concerns import ConcernKind, concerns_of

WORDS = ("healthy", "working", "late", "stuck", "new")
"""How a connection can stand. working: a run is under way. stuck: something waits for a person. new: never ran."""


@dataclass(frozen=True, slots=True)
class ConnectionStanding:
    """One connection. waiting: intents that go out by themselves. deferred: records that wait for another one."""

    name: str
    connector: str
    company: str | None
    word: str
    last_pull: Run | None
    last_push: Run | None
    letters: int
    deferred: int
    waiting: int
    rejected: int
    unknown: int
    holder: Holder | None
    oldest_since: datetime | None
    """Of what waits in the outbox or as a dead letter, the oldest."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The whole hub."""

    now: datetime
    schema: str | None
    database_bytes: int
    connections: tuple[ConnectionStanding, ...]
    concerns: tuple[Concern, ...]

    @property
    def needs_a_person(self) -> bool:
        """Whether there is anything that does not mend itself."""
        return bool(self.concerns)


def standing_of(hub: Hub, *, company: str | None = None) -> Standing:
    """How everything stands now; company: only its connections. Raises ConfigurationFault and StoreFault."""
    limits = alert_settings(hub.settings).limits
    names = list(hub.settings.connections) if company is None else hub.settings.connections_of(company)
    facts = read_facts(hub.database, hub.clock())
    concerns = concerns_of(facts, names, limits)
    runs, letters = _by_connection(facts.last_runs), _by_connection(facts.letters)
    deferred, intents = _by_connection(facts.waiting), _by_connection(facts.intents)
    theirs = _by_connection(concerns)
    holders = {holder.name: holder for holder in facts.holders}
    found = [
        _standing(
            hub.settings.connections[name],
            runs.get(name, []),
            letters.get(name, []),
            deferred.get(name, []),
            intents.get(name, []),
            holders.get(name),
            theirs.get(name, []),
        )
        for name in names
    ]
    return Standing(facts.now, facts.schema, facts.database_bytes, tuple(found), tuple(concerns))


class _OfAConnection(Protocol):
    @property
    def connection(self) -> str: ...


T = TypeVar("T", bound=_OfAConnection)


def _by_connection(items: Iterable[T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(item.connection, []).append(item)
    return found


def _standing(
    settings: ConnectionSettings,
    runs: Sequence[Run],
    letters: Sequence[Pile],
    deferred: Sequence[Pile],
    open_intents: Sequence[Pile],
    holder: Holder | None,
    concerns: Sequence[Concern],
) -> ConnectionStanding:
    pull = _newest(run for run in runs if run.kind in PULL_KINDS)
    push = _newest(run for run in runs if run.kind == PUSH_KIND)
    intents = Counter[str]()
    for pile in open_intents:
        intents[pile.what] += pile.count
    return ConnectionStanding(
        name=settings.name,
        connector=settings.connector,
        company=settings.company,
        word=_word(concerns, is_working=holder is not None, is_new=pull is None and push is None),
        last_pull=pull,
        last_push=push,
        letters=sum(pile.count for pile in letters),
        deferred=sum(pile.count for pile in deferred),
        waiting=sum(intents[what] for what in ("queued", "claimed", "sent")),
        rejected=intents["rejected"],
        unknown=intents["outcome_unknown"] + intents["to be told"],
        holder=holder,
        oldest_since=min((pile.since for pile in (*letters, *open_intents)), default=None),
    )


def _word(concerns: Sequence[Concern], *, is_working: bool, is_new: bool) -> str:
    kinds = {concern.kind for concern in concerns}
    if kinds - {ConcernKind.LATE}:
        return "stuck"
    if is_working:
        return "working"
    if kinds:
        return "late"
    return "new" if is_new else "healthy"


def _newest(runs: Iterable[Run]) -> Run | None:
    return max(runs, key=lambda run: run.id, default=None)
