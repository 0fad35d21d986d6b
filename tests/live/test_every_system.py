"""Each back office that can be rehearsed is asked live for what its streams have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors.conformance.rig import CONNECTION, Rig, begin
from crm_core.ids import EntityType
from simulators.business_central.rehearsal import Rehearsal as BusinessCentral
from simulators.netsuite.rehearsal import Rehearsal as NetSuite
from simulators.quickbooks.rehearsal import Rehearsal as QuickBooks
from simulators.sap_s4hana.rehearsal import Rehearsal as SapS4hana
from simulators.xero.rehearsal import Rehearsal as Xero
from sync_jobs.live.answers import LIVE, PriceLine, Provenance
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened

SYSTEMS = {
    "business_central": BusinessCentral,
    "netsuite": NetSuite,
    "quickbooks": QuickBooks,
    "sap_s4hana": SapS4hana,
    "xero": Xero,
}

TOLD = {
    "business_central": ("open_orders", "undelivered"),
    "netsuite": ("undelivered",),
    "quickbooks": ("open_orders", "undelivered"),
    "sap_s4hana": ("open_receivables", "open_orders", "undelivered", "overdue"),
    "xero": (),
}
"""What of an account's credit each system does not tell."""


@contextmanager
def rehearsed(name: str, folder: Path) -> Iterator[Rig]:
    kind: Any = SYSTEMS[name]
    with kind() as rehearsal:
        yield begin(rehearsal, folder)


@pytest.mark.parametrize("name", SYSTEMS)
def test_credit_and_stock_are_asked_live(name: str, tmp_path: Path) -> None:
    """A system that cannot be asked live would answer `unknown` to sales for ever, and nobody would notice."""
    with rehearsed(name, tmp_path) as rig, LiveDesk(rig.hub) as desk:
        with opened(rig.hub) as session:
            session.run("UPDATE credits SET as_of = '2020-01-01T00:00:00.000000Z'")
            session.run("UPDATE stock_levels SET as_of = '2020-01-01T00:00:00.000000Z'")
            accounts = [row[0] for row in session.all("SELECT DISTINCT account_id FROM credits ORDER BY account_id")]
            products = [
                row[0] for row in session.all("SELECT DISTINCT product_id FROM stock_levels ORDER BY product_id")
            ]
        [answer] = desk.credit(accounts[0], LIVE, deadline_seconds=20).result(30)
        [source] = answer.sources
        assert (source.connection, source.provenance, source.reason) == (CONNECTION, Provenance.LIVE, "")
        assert source.as_of is not None
        assert source.as_of.year > 2020
        assert answer.unknown == TOLD[name]

        assert products != []
        stock = desk.stock(products[0], LIVE, deadline_seconds=20).result(30)
        assert {(one.provenance, one.reason) for one in stock.sources} == {(Provenance.LIVE, "")}
        assert stock.total.on_hand is not None
        assert all(house.figures.on_hand is not None for house in stock.warehouses)
        assert desk.breakers()[0].failures == 0


def test_s4_computes_the_price_of_an_order_that_is_not_placed(tmp_path: Path) -> None:
    """Sales would quote a price that the invoice does not have."""
    with rehearsed("sap_s4hana", tmp_path) as rig, LiveDesk(rig.hub) as desk:
        line = PriceLine(rig.products[0], Decimal(2))
        [price] = desk.prices(rig.accounts[0], [line], deadline_seconds=20).result(30)
        assert price.source is not None
        assert (price.source.provenance, price.source.reason) == (Provenance.LIVE, "")
        assert price.error is None
        assert price.theirs == price.unit_price
        assert desk.look_ups.offers(CONNECTION, EntityType.PRICE)


def test_a_system_that_computes_no_prices_leaves_ours_alone(tmp_path: Path) -> None:
    """Our own price would wait for a call that nobody answers."""
    with rehearsed("business_central", tmp_path) as rig, LiveDesk(rig.hub) as desk:
        future = desk.prices(
            rig.accounts[0],
            [PriceLine(rig.products[0], Decimal(2)), PriceLine(rig.products[0], Decimal(0), "no such unit")],
        )
        assert future.done()
        good, bad = future.result()
        assert (good.error, good.theirs, good.source) == (None, None, None)
        assert good.amount is not None
        assert bad.amount is None
        assert bad.error is not None
