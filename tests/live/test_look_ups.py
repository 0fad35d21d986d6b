"""A live look-up is a pull of one record: asked once, stored, safe beside everything else."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from crm_core.errors import EntityAbsent, RuleFault
from crm_core.ids import CrmId
from sync_jobs.bootstrap import Hub
from sync_jobs.live.answers import CACHED, LIVE, Freshness, Provenance
from sync_jobs.live.desk import LiveDesk
from tests.live.conftest import Office


def test_credit_asked_live_is_what_the_back_office_has_now_and_is_kept(
    office: Office, open_desk: Callable[[Hub], LiveDesk]
) -> None:
    """Sales would promise goods on a limit that accounting has just cut."""
    customer = office.simulator.rows("customers")[0]
    account = office.account_of(customer)
    desk = open_desk(office.hub)
    [before] = desk.credit(account, CACHED).result(10)
    assert before.sources[0].provenance is Provenance.CACHED

    office.simulator.update_customer(str(customer["number"]), creditLimit=Decimal("4321.5"))
    [kept] = desk.credit(account, CACHED).result(10)
    assert kept.limit == before.limit
    [now] = desk.credit(account, LIVE).result(10)
    assert now.limit == Decimal("4321.5")
    assert now.currency == before.currency
    assert now.sources[0].provenance is Provenance.LIVE
    assert now.sources[0].connection == "books"
    assert now.unknown == ("open_orders", "undelivered")
    assert now.available == now.limit - now.exposure
    assert office.credit_of(account).limit == Decimal("4321.5")
    [after] = desk.credit(account, Freshness.parse("max-age=60")).result(10)
    assert (after.limit, after.sources[0].provenance) == (Decimal("4321.5"), Provenance.CACHED)


def test_what_the_crm_does_not_have_is_said_at_once(office: Office, open_desk: Callable[[Hub], LiveDesk]) -> None:
    """A mistyped id would look like an account without debts."""
    desk = open_desk(office.hub)
    with pytest.raises(EntityAbsent, match="the CRM has no account 4711"):
        desk.credit(CrmId(4711)).result(10)
    with pytest.raises(EntityAbsent, match="the CRM has no product 4711"):
        desk.stock(CrmId(4711)).result(10)


def test_a_freshness_that_is_no_freshness_names_the_choices() -> None:
    """A typing error would be taken for `live` or for `cached`."""
    assert Freshness.parse("max-age=60") == Freshness(60, 60)
    for text in ("max-age=", "max-age=-1", "max-age=1.5", "fresh", ""):
        with pytest.raises(RuleFault, match="freshness is live, cached or max-age=SECONDS"):
            Freshness.parse(text)


def test_stock_asked_live_is_what_lies_there_now(office: Office, open_desk: Callable[[Hub], LiveDesk]) -> None:
    """Sales would sell what was sold this morning."""
    row = next(row for row in office.simulator.rows("items") if row["type"] == "Inventory")
    product = office.product_of(row)
    desk = open_desk(office.hub)
    office.simulator.set_inventory(str(row["number"]), -3)
    answer = desk.stock(product, LIVE).result(10)
    assert answer.total.on_hand == Decimal(-3)
    assert (answer.total.reserved, answer.total.available) == (None, None)
    assert [house.code for house in answer.warehouses] != []
    assert answer.sources[0].provenance is Provenance.LIVE
    assert desk.stock(product, CACHED).result(10).total.on_hand == Decimal(-3)
    with pytest.raises(RuleFault, match="unit 'BOXX' is not in unit group"):
        desk.stock(product, CACHED, unit="BOXX").result(10)
