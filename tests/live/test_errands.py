"""Plain code that waits for a back office on the thread of a loop, which must go on meanwhile for everybody else."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.rig import Rig
from connectors.erp.business_central.client import BusinessCentralClient
from connectors.registry import get_connector
from connectors.transport.http import HttpClient
from connectors.transport.sockets import PlainSocket
from connectors.transport.waiting import pause, waiter
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.store.database import Database
from simulators.exchange import Request, Response
from simulators.faults import Fault, FaultKind
from sync_jobs.bootstrap import open_hub
from sync_jobs.live import desk as desk_module
from sync_jobs.live.answers import CACHED, LIVE, Provenance, StockAnswer
from sync_jobs.live.desk import LiveDesk
from sync_jobs.live.errands import Errand
from sync_jobs.operations import opened
from tests.live.conftest import DeskOfALoop, Simulator, fill
from tests.live.test_every_system import SYSTEMS, rehearsed

BY_ERRANDS = {"business_central", "quickbooks", "sap_s4hana", "xero"}


def run(work: Callable[[], Any], beside: Callable[[], None] = lambda: None) -> Any:
    """The result of an errand on a new loop; `beside` is called when the errand waits for the first time."""

    async def asked() -> Any:
        future = Errand(asyncio.get_running_loop(), work).begin()
        beside()
        return await asyncio.wait_for(asyncio.wrap_future(future), 20)

    return asyncio.run(asked())


def test_while_an_errand_waits_for_a_socket_its_thread_goes_on() -> None:
    """One slow back office would hold up the answers to everybody else."""
    ours, theirs = socket.socketpair()
    mine = PlainSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    mine.settimeout(10)
    steps: list[str] = []

    def work() -> bytes:
        steps.append("asks")
        mine.sendall(b"?")
        told = mine.recv(9)
        steps.append("is told")
        return told

    def beside() -> None:
        steps.append("the loop goes on")
        assert theirs.recv(1) == b"?"
        theirs.sendall(b"answer")

    with mine, theirs:
        assert run(work, beside) == b"answer"
        assert steps == ["asks", "the loop goes on", "is told"]
        assert mine.gettimeout() == 10  # whoever uses the connection next, on a thread, waits as it was told


def test_what_is_too_much_for_a_socket_at_once_is_sent_whole() -> None:
    """An order of many lines would arrive cut off."""
    ours, theirs = socket.socketpair()
    mine = PlainSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    mine.settimeout(10)
    sent, came = bytes(range(256)) * 40_000, bytearray()

    def read() -> None:
        while len(came) < len(sent):
            came.extend(theirs.recv(65_536))

    reading = threading.Thread(target=read)
    with mine, theirs:
        assert run(lambda: mine.sendall(sent), reading.start) is None
        reading.join(20)
    assert bytes(came) == sent


def test_an_errand_waits_for_a_socket_no_longer_than_its_time_out() -> None:
    """A back office that never answers would be waited for without an end."""
    ours, theirs = socket.socketpair()
    mine = PlainSocket(ours.family, ours.type, ours.proto, fileno=ours.detach())
    mine.settimeout(0.05)
    with mine, theirs:
        with pytest.raises(TimeoutError):
            run(lambda: mine.recv(1))
        theirs.sendall(b"!")
        assert run(lambda: mine.recv(1)) == b"!"


def test_an_errand_pauses_and_works_aside_without_holding_the_thread() -> None:
    """A name that is slow to look up, or a rate budget that is used up, would stop every other answer."""
    here, steps = threading.get_ident(), list[object]()

    def work() -> int:
        pause(0.01)
        steps.append("rested")
        mine = waiter.get()
        assert mine is not None
        assert mine.aside(lambda: waiter.get()) is None  # whoever blocks there holds a thread of its own
        return mine.aside(threading.get_ident)

    assert run(work, lambda: steps.append("the loop goes on")) != here
    assert steps == ["the loop goes on", "rested"]


def test_what_goes_wrong_in_an_errand_or_aside_is_told() -> None:
    """A failed call would look like one that never ends."""

    def aside() -> None:
        mine = waiter.get()
        assert mine is not None
        mine.aside(lambda: int("no number"))

    with pytest.raises(ValueError, match="no number"):
        run(aside)
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)
    assert waiter.get() is None


@pytest.mark.parametrize("fails", [False, True])
def test_an_errand_that_has_ended_is_no_circle_of_references(fails: bool) -> None:
    """The collector would stop every asker for tens of milliseconds, every few hundred answers."""
    kept: list[weakref.ref[Errand[Any]]] = []

    def work() -> None:
        pause(0.001)
        if fails:
            raise ValueError("refused")

    async def asked() -> None:
        errand = Errand(asyncio.get_running_loop(), work)
        kept.append(weakref.ref(errand))
        done = errand.begin()
        del errand
        while not done.done():
            await asyncio.sleep(0.001)

    gc.collect()
    gc.disable()
    try:
        asyncio.run(asked())
        assert kept[0]() is None
    finally:
        gc.enable()


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Whether each request is sent by an errand."""
    sent: list[bool] = []
    send = HttpClient._send

    def seen(self: HttpClient, *arguments: Any) -> Any:
        sent.append(waiter.get() is not None)
        return send(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(HttpClient, "_send", seen)
        yield sent


def some_of(rig: Rig, table: str, column: str) -> CrmId:
    with opened(rig.hub) as session:
        return CrmId(session.all(f"SELECT min({column}) FROM {table}")[0][0])


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_an_errand_brings_is_what_a_thread_brings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sales would be told something else on a busy hub than on an idle one."""
    with rehearsed(name, tmp_path) as rig, DeskOfALoop(rig.hub) as desk:
        account, product = some_of(rig, "credits", "account_id"), some_of(rig, "stock_levels", "product_id")
        with watched(monkeypatch) as sent:
            asked_by_threads = [_plain(desk.credit(account, LIVE, deadline_seconds=20).result(30))]
        assert set(sent) == {False}  # it opens the connector
        with LiveDesk(rig.hub) as another:
            asked_by_threads.append(_plain(another.stock(product, LIVE, deadline_seconds=20).result(30)))
        with watched(monkeypatch) as sent:
            asked_by_errands = [_plain(desk.credit(account, LIVE, deadline_seconds=20).result(30))]
            asked_by_errands.append(_plain(desk.stock(product, LIVE, deadline_seconds=20).result(30)))
        assert set(sent) == {name in BY_ERRANDS}
        assert asked_by_errands == asked_by_threads
        assert get_connector(rig.rehearsal.connector).manifest.waits_in_transport is (name in BY_ERRANDS)


def _plain(told: Any) -> list[object]:
    """What an answer says, without when it was asked."""
    if isinstance(told, StockAnswer):
        return [[source.provenance for source in told.sources], [(one.code, one.figures) for one in told.warehouses]]
    return [([source.provenance for source in one.sources], one.limit, one.parts, one.unknown) for one in told]


def test_others_are_answered_while_an_errand_waits(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path
) -> None:
    """A slow back office would stop the answers that need none."""
    office = fill(simulator, sqlite_database, tmp_path)
    account = office.account_of(simulator.rows("customers")[0])
    with DeskOfALoop(office.hub) as desk:
        desk.credit(account, LIVE).result(20)
        may_answer = threading.Event()

        def held(request: Request, response: Response) -> Response:
            if "/customers(" in request.path:
                assert may_answer.wait(20)
            return response

        simulator.change = held
        live = desk.credit(account, LIVE)
        [cached] = desk.credit(account, CACHED).result(20)
        assert cached.sources[0].provenance is Provenance.CACHED
        assert not live.done()
        may_answer.set()
        [answer] = live.result(20)
        assert answer.sources[0].provenance is Provenance.LIVE


def test_what_was_asked_for_last_time_is_asked_for_while_the_store_is_read(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every customer on the phone would wait for our own store first, then for the back office."""
    office = fill(simulator, sqlite_database, tmp_path)
    account, another = (office.account_of(row) for row in simulator.rows("customers")[:2])
    steps: list[str] = []
    read, send = desk_module.records_to_ask, BusinessCentralClient.read_one

    def store_is_read(*arguments: Any) -> Any:
        steps.append("reads")
        return read(*arguments)

    def is_sent(self: BusinessCentralClient, *arguments: Any, **options: Any) -> Any:
        steps.append("asks")
        return send(self, *arguments, **options)

    monkeypatch.setattr(desk_module, "records_to_ask", store_is_read)
    monkeypatch.setattr(BusinessCentralClient, "read_one", is_sent)
    with DeskOfALoop(office.hub) as desk:
        for expected in (["reads", "asks"], ["asks", "reads"], ["asks", "reads"]):
            steps.clear()
            [answer] = desk.credit(account, LIVE).result(20)
            assert (answer.sources[0].provenance, steps) == (Provenance.LIVE, expected)
        # A memory that is wrong costs a call: the account may have been bound to another record since.
        wrong = [(ConnectionName("books"), office.external_id(EntityType.ACCOUNT, another))]
        desk._asker._last_wanted[("credit", account, LIVE)] = wrong
        steps.clear()
        [now] = desk.credit(account, LIVE).result(20)
        assert steps == ["asks", "reads", "asks"]
        assert (now.sources[0].provenance, now.limit, now.parts) == (Provenance.LIVE, answer.limit, answer.parts)
        assert len(now.sources) == 1


def test_a_desk_whose_loop_has_ended_can_be_closed(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path
) -> None:
    """Who asks from a program of his own and stops waiting would never come to its end."""
    office = fill(simulator, sqlite_database, tmp_path)
    account = office.account_of(simulator.rows("customers")[0])
    office.disturb(Fault(FaultKind.LATENCY, latency_ms=300), r"/customers\(")
    desk = LiveDesk(office.hub)
    desk.credit(account, LIVE).result(20)  # opens the connector

    async def asks_and_goes() -> None:
        assert not desk.credit(account, LIVE).done()

    asyncio.run(asks_and_goes())
    closing = threading.Thread(target=desk.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()


def test_no_more_calls_are_under_way_than_the_connection_allows(
    simulator: Simulator, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A back office that lets us ask five things at a time would refuse the sixth."""
    office = fill(simulator, sqlite_database, tmp_path)
    file = office.hub.settings.file
    text = file.read_text(encoding="utf-8").replace("attempts = 1", "attempts = 1\nparallel_live_calls = 2")
    file.write_text(text, encoding="utf-8")
    accounts = [office.account_of(row) for row in simulator.rows("customers")]
    most, read = _Most(), BusinessCentralClient.read_one

    def counted(self: BusinessCentralClient, *arguments: Any, **options: Any) -> Any:
        with most:
            return read(self, *arguments, **options)

    monkeypatch.setattr(BusinessCentralClient, "read_one", counted)
    office.disturb(Fault(FaultKind.LATENCY, latency_ms=20), r"/customers\(")
    with DeskOfALoop(open_hub(file)) as desk:
        for _ in range(3):  # by threads first, then by errands and threads
            told = [desk.credit(account, LIVE) for account in accounts]
            assert {one.result(20)[0].sources[0].provenance for one in told} == {Provenance.LIVE}
    assert most.at_once == 2


class _Most:
    """How many were in it at once."""

    def __init__(self) -> None:
        self.at_once = self._now = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.at_once = max(self.at_once, self._now)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._now -= 1
