"""PostgreSQL is stopped and started, and the network to it cut, while a fleet pulls and pushes: the same processes go
on by themselves, nothing is lost, and no order arrives twice.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from bench.acme_hub import CONNECTOR
from bench.fleet_rig import Rig
from bench.postgres import OwnPostgres, PostgresUnavailable, own_postgres
from connectors import registry
from crm_core.clock import system_clock
from crm_core.ids import CrmId
from crm_core.model.sales import Order, OrderLine
from crm_core.store.database import Database
from sync_jobs import operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import changing
from tests.jobs.wire import Wire

JOBS = """
[jobs.base]
connection = "erp"
entities = ["account", "product"]
[jobs.goods]
connection = "erp"
entities = ["product"]
every = "1h"
[jobs.out]
what = "push"
connection = "erp"
on_change = true
[jobs.beat]
connection = "other"
entities = ["account"]
every = "1s"
"""
ORDERS = 12
NEW_PRODUCTS = 40
"""On pages of two: twenty pages."""


@dataclass
class Business:
    """A hub whose new products are to come in and whose orders are to go out. url: of the database, for processes."""

    rig: Rig
    hub: Hub
    url: str
    accounts: list[tuple[CrmId, str]]
    products: list[tuple[CrmId, str]]
    before: set[str]
    posted_before: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def begin(cls, rig: Rig, url: str) -> Business:
        """Accounts and products are known on both sides; forty products are new there, twelve orders are new here."""
        rig.add_office("other")
        settings = {"push": '["order"]', "settle_seconds": 0, "parallel_writes": 2}
        rig.write(JOBS, **settings)
        first, between, second = rig.file.read_text().partition("[connections.other]")
        rig.file.write_text(first + between + second.replace('push = ["order"]', "push = []"))
        hub = open_hub(rig.file)
        operations.pull(hub, "base")
        business = cls(rig, hub, url, bound(rig, "account"), bound(rig, "product"), rig.erp.ids("order"), posts(rig))
        rig.add_products(NEW_PRODUCTS)
        with changing(hub) as save:
            for number in range(ORDERS):
                save(business.order(number))
        rig.erp.http.latency_ms = 120
        rig.file.write_text(rig.file.read_text().replace(rig.database.url, url))
        return business

    def order(self, number: int) -> Order:
        """Each of its own customer, product and price."""
        account, _ = self.accounts[number % len(self.accounts)]
        product, _ = self.products[number % len(self.products)]
        line = OrderLine(
            code="1", product_id=product, quantity=Decimal(number + 1), unit="pcs", unit_price=Decimal(number) / 4 + 3
        )
        return Order(
            reference=f"PO-{number}",
            account_id=account,
            status="confirmed",
            currency="EUR",
            requested_date=date(2026, 12, 1 + number),
            lines=(line,),
        )

    def expected(self, number: int) -> dict[str, Any]:
        """What the back office has of it."""
        _, account = self.accounts[number % len(self.accounts)]
        _, product = self.products[number % len(self.products)]
        line = {"product": product, "quantity": Decimal(number + 1), "unit": "pcs"}
        return {
            "account": account,
            "currency": "EUR",
            "requested_date": f"2026-12-{1 + number:02d}",
            "lines": [line | {"unit_price": Decimal(number) / 4 + 3}],
        }

    def start(self) -> None:
        self.processes["scheduler"] = self.rig.start("scheduler")
        for name in ("worker 1", "worker 2"):
            self.processes[name] = self.rig.start("worker", "--at-once", "2")

    def is_in_the_middle(self) -> bool:
        """Some pages are here and some orders there, and not all."""
        return len(self.rig.external_ids()) >= 12 + 6 and len(self.new_orders()) >= 3

    def new_orders(self) -> set[str]:
        return self.rig.erp.ids("order") - self.before

    def wait_until_noticed(self) -> None:
        """The scheduler and a worker have met that the database is gone."""
        before = noticed(self.rig)
        self.rig.until(lambda: all(now > then for now, then in zip(noticed(self.rig), before, strict=True)), 60)

    def assert_all_work_again(self) -> None:
        """The processes that were there before run jobs that fall due now."""
        newest = max(run.id for run in self.rig.runs())
        workers = {self.processes[name].pid for name in ("worker 1", "worker 2")}
        self.rig.until(lambda: pids_since(self.rig, newest) >= workers, 60)
        assert {name: process.poll() for name, process in self.processes.items()} == dict.fromkeys(self.processes)

    def assert_nothing_lost_or_doubled(self, elsewhere: Path) -> None:
        rig = self.rig
        rig.until(lambda: intents(rig) == {"confirmed": ORDERS}, 60)
        rig.until(lambda: rig.state("goods").outcome == "done", 60)
        rig.assert_all_here()
        assert rig.pages_applied("erp") == 6 + NEW_PRODUCTS // 2
        there = [held for held in rig.erp.held("order") if held.external_id in self.new_orders()]
        assert sorted((held.values for held in there), key=lambda values: values["requested_date"]) == [
            self.expected(number) for number in range(ORDERS)
        ]
        assert posts(rig) - self.posted_before == ORDERS, "an order was sent twice"
        assert "Traceback" not in rig.told(), rig.told()
        assert catalogue(rig.database) == catalogue(without_faults(rig, elsewhere))


def noticed(rig: Rig) -> tuple[int, int]:
    told = rig.told()
    rounds = told.count("no round was made") + told.count("the scheduler waits for its database")
    ends = told.count("its end could not be recorded") + told.count("the worker begins anew")
    return ends, rounds


def pids_since(rig: Rig, run: int) -> set[int]:
    with rig.session() as session:
        rows = session.all("SELECT owner FROM runs WHERE id > ? AND owner IS NOT NULL", (run,))
    return {int(owner.split(":")[1]) for (owner,) in rows}


def posts(rig: Rig) -> int:
    """Orders that were sent, whether they arrived or not."""
    return sum(one.method == "POST" and one.path == "/v1/orders" for one in rig.erp.http.log)


def bound(rig: Rig, entity: str) -> list[tuple[CrmId, str]]:
    with rig.session() as session:
        return session.all(
            "SELECT b.crm_id, b.external_id FROM bindings b JOIN streams s ON s.id = b.stream_id"
            " WHERE s.entity = ? AND s.connection = 'erp' ORDER BY b.crm_id",
            (entity,),
        )


def intents(rig: Rig) -> dict[str, int]:
    with rig.session() as session:
        return dict(session.all("SELECT state, count(*) FROM outbox GROUP BY state"))


def catalogue(database: Database) -> list[tuple[Any, ...]]:
    """Every product of `erp` with its id there, the values as text."""
    session = database.open()
    try:
        rows = session.all(
            "SELECT b.external_id, p.code, p.name, p.base_unit, p.list_price, p.currency FROM products p"
            " JOIN bindings b ON b.crm_id = p.id JOIN streams s ON s.id = b.stream_id"
            " WHERE s.entity = 'product' AND s.connection = 'erp' AND b.deleted_at IS NULL"
            " ORDER BY b.external_id, p.id"
        )
    finally:
        session.close()
    return [(*row[:4], Decimal(row[4]).normalize(), row[5]) for row in rows]


def without_faults(rig: Rig, folder: Path) -> Database:
    """Another hub over the same back office, which pulls in this process."""
    rig.erp.http.latency_ms = 0
    database = Database(f"sqlite:///{folder / 'control.sqlite'}")
    text = re.sub(r'url = "postgresql[^"]*"', f'url = "{database.url}"', rig.file.read_text())
    (folder / "control.toml").write_text(text)
    operations.pull(open_hub(folder / "control.toml"), "base")
    return database


@pytest.fixture
def own() -> Iterator[OwnPostgres]:
    """A PostgreSQL that nobody else uses, so that it may be stopped."""
    try:
        with own_postgres(shared_buffers="32MB") as made:
            yield made
    except PostgresUnavailable as reason:
        pytest.skip(f"no PostgreSQL of our own: {reason}")


@pytest.fixture
def own_rig(own: OwnPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(registry, "BUILT_IN", {**registry.BUILT_IN, "acme": CONNECTOR})
    with (
        own.server.fresh_database() as fresh,
        Rig(tmp_path, Database(fresh.conninfo), module="tests.jobs.brisk_hub") as rig,
    ):
        yield rig


@pytest.fixture
def wire(own_rig: Rig) -> Iterator[Wire]:
    """Between the processes and PostgreSQL; the test itself asks PostgreSQL directly."""
    port = make_url(own_rig.database.url).port
    assert port is not None
    with Wire(port) as made:
        yield made


def through(wire: Wire, rig: Rig) -> str:
    return make_url(rig.database.url).set(port=wire.port).render_as_string(hide_password=False)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_restart_of_postgresql_loses_and_doubles_nothing(
    own: OwnPostgres, own_rig: Rig, tmp_path: Path, how: signal.Signals
) -> None:
    """Otherwise every update of the database costs somebody a night: pages missing, orders twice, workers dead."""
    business = Business.begin(own_rig, own_rig.database.url)
    business.start()
    own_rig.until(business.is_in_the_middle)
    own.stop(how)
    business.wait_until_noticed()
    own.start()
    business.assert_all_work_again()
    business.assert_nothing_lost_or_doubled(tmp_path)


def test_a_cut_network_to_postgresql_loses_and_doubles_nothing(own_rig: Rig, wire: Wire, tmp_path: Path) -> None:
    """PostgreSQL does not hear of it: what was open there stays open, with its locks, until its keepalive tells."""
    business = Business.begin(own_rig, through(wire, own_rig))
    business.start()
    own_rig.until(business.is_in_the_middle)
    wire.cut()
    business.wait_until_noticed()
    wire.mend()
    own_rig.until(lambda: own_rig.told().count("the worker begins anew") >= 2)
    wire.bury()
    business.assert_all_work_again()
    business.assert_nothing_lost_or_doubled(tmp_path)


def test_a_network_that_holds_everything_up_beyond_the_leases_loses_and_doubles_nothing(
    own_rig: Rig, wire: Wire, tmp_path: Path
) -> None:
    """Nobody is told of it: whoever goes on has lost what it held, and must not write as if it still had it."""
    business = Business.begin(own_rig, through(wire, own_rig))
    business.start()
    own_rig.until(business.is_in_the_middle)
    wire.hold_up()
    until = own_rig.state("goods").leased_until
    assert until is not None
    own_rig.until(lambda: system_clock() > until)
    wire.let_go()
    business.assert_all_work_again()
    business.assert_nothing_lost_or_doubled(tmp_path)
