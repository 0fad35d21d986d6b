"""A live look-up: a pull of one record (or of the stock levels of one product) with a deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

from connectors.abilities import OrderAnswer, OrderSimulating, SimulatedOrder, StockSource
from connectors.envelopes import SourceRecord
from connectors.registry import get_connector
from crm_core.errors import CounterfoilError, RecordNotFound
from crm_core.ids import ConnectionName, EntityType, ExternalId
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import BreakerReport, Provenance, Source
from sync_jobs.live.errands import loop_of_this_thread
from sync_jobs.live.flights import Flights
from sync_jobs.live.intake import HasToWait, Intake
from sync_jobs.live.office import Office, Opened
from sync_jobs.live.timer import Timer

log = logging.getLogger("counterfoil.live")

_CLOSING = "nothing more is asked: the hub is closing"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a look-up. asked_at: by our clock, before the call. reason: why it tells nothing, else empty.

    may_fall_back: an older reading is as good as it was; False when the record itself is gone or cannot be mapped.
    taken: the ids of the records that came. problems: external id -> why that one of several records tells nothing.
    """

    asked_at: datetime
    reason: str = ""
    may_fall_back: bool = True
    taken: frozenset[str] = frozenset()
    problems: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class _Fetched:
    """asked_at: by our clock, before the call. began: of `time.perf_counter`."""

    records: Sequence[SourceRecord]
    asked_at: datetime
    began: float


_Taking = Callable[[ConnectionName, EntityType, Sequence[SourceRecord], datetime], Mapping[str, str]]


class LookUps:
    """Looks records up in all back offices, each at most once at a time. Thread-safe."""

    def __init__(self, hub: Hub, timer: Timer, intake: Intake) -> None:
        self._hub, self._intake = hub, intake
        self._flights: Flights[Outcome] = Flights(timer)
        # SQLite has one writer, and each of its statements hands the interpreter over and back: of many threads that
        # go on at once, each waits for all others at every step. PostgreSQL's answers cross a network meanwhile.
        self._turn: AbstractContextManager[object] = threading.RLock() if hub.database.is_sqlite else nullcontext()
        sales = hub.settings.sales
        self.offices = {
            # what an errand brings is stored on its loop's thread, which must not wait for a database over there
            name: Office(connection, sales, hub.clock, hub.meters, may_run_errands=hub.database.is_sqlite)
            for name, connection in hub.settings.connections.items()
        }

    def offers(self, connection: ConnectionName, entity: EntityType) -> bool:
        """Whether a connection is configured and has such a stream."""
        settings = self._hub.settings.connections.get(connection)
        return settings is not None and entity in get_connector(settings.connector).manifest.streams

    def record(
        self, connection: ConnectionName, entity: EntityType, external_id: ExternalId, *, seconds: float
    ) -> Future[Outcome]:
        """Fetch one record and store it. The future never raises; it goes on after everybody has stopped waiting."""

        def fetch(opened: Opened) -> Sequence[SourceRecord]:
            return [opened.stream(entity).get(external_id)]

        return self._share(connection, entity, f"={external_id}", fetch, seconds)

    def stock_levels(
        self,
        connection: ConnectionName,
        product: ExternalId,
        levels: Sequence[ExternalId],
        *,
        seconds: float,
    ) -> Future[Outcome]:
        """Fetch the stock levels of a product and store them. levels: those that are known already."""

        def fetch(opened: Opened) -> Sequence[SourceRecord]:
            stream = opened.stream(EntityType.STOCK_LEVEL)
            if isinstance(stream, StockSource):
                return stream.levels_of(product)
            return [stream.get(one) for one in (levels or (product,))]

        return self._share(connection, EntityType.STOCK_LEVEL, f"of {product}", fetch, seconds)

    def simulates(self, connection: ConnectionName) -> bool:
        """Whether a connection's system can compute an order without placing it."""
        settings = self._hub.settings.connections.get(connection)
        return settings is not None and issubclass(get_connector(settings.connector), OrderSimulating)

    def simulated(
        self, connection: ConnectionName, order: SimulatedOrder, *, seconds: float
    ) -> Future[tuple[OrderAnswer | None, Source]]:
        """What the back office computes for an order; with None, the source says why. The future never raises."""

        def work(opened: Opened) -> OrderAnswer:
            assert isinstance(opened.connector, OrderSimulating)
            return opened.connector.simulate_order(order)

        made: Future[tuple[OrderAnswer | None, Source]] = Future()

        def settle(done: Future[OrderAnswer]) -> None:
            error = done.exception()
            if error is None:
                answer = done.result()
                age = max((self._hub.clock() - answer.as_of).total_seconds(), 0.0)
                made.set_result((answer, Source(connection, Provenance.LIVE, answer.as_of, age)))
            else:
                made.set_result((None, Source(connection, Provenance.UNKNOWN, None, None, _reason_of(error))))

        self.offices[connection].call(work, seconds=seconds).add_done_callback(settle)
        return made

    def reports(self) -> tuple[BreakerReport, ...]:
        """How the breakers stand, in the order of the connections."""
        return tuple(office.breaker.report() for office in self.offices.values())

    def close(self) -> None:
        """Waits for what is under way."""
        for office in self.offices.values():
            office.close()

    def _share(
        self,
        connection: ConnectionName,
        entity: EntityType,
        what: str,
        fetch: Callable[[Opened], Sequence[SourceRecord]],
        seconds: float,
    ) -> Future[Outcome]:
        def begin(made: Future[Outcome]) -> None:
            office = self.offices.get(connection)
            if office is None:
                made.set_result(Outcome(self._hub.clock(), f"there is no connection {connection!r} any more"))
                return

            def stored(fetched: Future[_Fetched]) -> None:
                with self._turn:
                    made.set_result(self._outcome(connection, entity, fetched, self._intake.take))

            def arrived(fetched: Future[_Fetched]) -> None:
                if loop_of_this_thread() is None:
                    stored(fetched)
                    return
                try:
                    made.set_result(self._outcome(connection, entity, fetched, self._intake.take_at_once))
                except HasToWait:
                    aside(lambda: stored(fetched))

            def aside(work: Callable[[], None]) -> None:
                try:
                    office.aside(work).add_done_callback(ended)
                except RuntimeError:  # its threads have ended
                    made.set_result(Outcome(self._hub.clock(), _CLOSING))

            def ended(stored: Future[None]) -> None:
                if stored.cancelled():
                    made.set_result(Outcome(self._hub.clock(), _CLOSING))

            try:
                call = office.call(lambda opened: self._fetched(fetch, opened), seconds=seconds)
            except RuntimeError:  # its threads have ended
                made.set_result(Outcome(self._hub.clock(), _CLOSING))
                return
            call.add_done_callback(arrived)

        return self._flights.share((connection, entity, what), begin)

    def _fetched(self, fetch: Callable[[Opened], Sequence[SourceRecord]], opened: Opened) -> _Fetched:
        asked_at, began = self._hub.clock(), time.perf_counter()
        return _Fetched(fetch(opened), asked_at, began)

    def _outcome(
        self, connection: ConnectionName, entity: EntityType, fetched: Future[_Fetched], take: _Taking
    ) -> Outcome:
        """What came is stored. Raises HasToWait when `take` does."""
        try:
            found = fetched.result()
            problems = take(connection, entity, found.records, found.asked_at)
        except HasToWait:
            raise
        except CancelledError:
            return Outcome(self._hub.clock(), _CLOSING)
        except Exception as error:
            if not isinstance(error, CounterfoilError):
                log.exception("a look-up failed")
            is_gone = isinstance(error, RecordNotFound)
            return Outcome(self._hub.clock(), _reason_of(error), may_fall_back=not is_gone)
        records, asked_at = found.records, found.asked_at
        if log.isEnabledFor(logging.INFO):
            keys = {"connection": connection, "entity": entity.value, "status": "partial" if problems else "succeeded"}
            counts = {"read": len(records), "dead": len(problems)}
            log.info(
                "looked_up", extra={**keys, "counts": counts, "seconds": round(time.perf_counter() - found.began, 4)}
            )
        if len(records) == 1 and problems:
            return Outcome(asked_at, next(iter(problems.values())), may_fall_back=False, problems=problems)
        return Outcome(asked_at, taken=frozenset(record.external_id for record in records), problems=problems)


def _reason_of(error: BaseException) -> str:
    """In one line and without a secret: our own errors are so, others tell their kind only."""
    return str(error) if isinstance(error, CounterfoilError) else f"the look-up failed: {type(error).__name__}"
