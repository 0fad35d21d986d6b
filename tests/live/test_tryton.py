"""Credit and stock asked live, beside what a real Tryton's own client shows, also right after it posted an invoice."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_core.ids import CrmId
from crm_core.store.database import Database
from simulators.tryton_server.server import TrytonServer
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.live.answers import CACHED, LIVE, Provenance
from sync_jobs.live.desk import LiveDesk
from sync_jobs.operations import opened, pull
from tests.live.conftest import DeskOfALoop
from tests.tryton.conftest import HOME

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database

SETTINGS = """
[store]
url = "{url}"

[connections.erp]
connector = "tryton"
url = "{server}"
database = "{database}"
user = "{user}"
password = "${{TRYTON_PASSWORD}}"

[jobs.fill]
connection = "erp"
entities = ["unit_group", "product", "price_list", "warehouse", "stock_level", "account", "credit"]

[sales]
deadline_seconds = 60
"""


@pytest.fixture
def server() -> Iterator[TrytonServer]:
    """A server of its own: this test changes it."""
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture
def hub(server: TrytonServer, sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("TRYTON_PASSWORD", server.password)
    file = tmp_path / "counterfoil.toml"
    text = SETTINGS.format(url=sqlite_database.url, server=server.url, database=server.database, user=server.user)
    file.write_text(text, encoding="utf-8")
    made = open_hub(file)
    pull(made, "fill")
    return made


def id_of(hub: Hub, table: str, code: str) -> CrmId:
    with opened(hub) as session:
        return CrmId(session.all(f"SELECT id FROM {table} WHERE code = ?", (code,))[0][0])


@pytest.mark.parametrize("kind", [LiveDesk, DeskOfALoop], ids=["threads", "errands"])
def test_credit_and_stock_asked_live_are_what_trytons_own_client_shows(
    server: TrytonServer, hub: Hub, kind: type[LiveDesk]
) -> None:
    """Sales would decide by figures that accounting does not have."""
    with kind(hub) as desk:
        changed: dict[str, Any] = server.change()
        truth = server.truth()

        invoiced = changed["invoice"]
        account = id_of(hub, "accounts", invoiced["customer"])
        [before] = desk.credit(account, CACHED).result(60)
        [now] = desk.credit(account, LIVE).result(60)
        assert now.sources[0].provenance is Provenance.LIVE
        assert (before.exposure, now.exposure) == (
            Decimal(invoiced["credit_amount"]["before"]),
            Decimal(invoiced["credit_amount"]["after"]),
        )
        told = truth["customers"]
        for code in [invoiced["customer"], *sorted(told)[:6]]:
            [answer] = desk.credit(id_of(hub, "accounts", code), LIVE).result(60)
            limit = told[code]["credit_limit"]
            assert answer.limit == (None if limit is None else Decimal(limit)), code
            assert answer.is_unlimited is (limit is None), code
            assert answer.exposure == Decimal(told[code]["credit_amount"]), code
            assert answer.unknown == (), code

        moved = changed["stock"]
        for code in (moved["product"], "FAS-001", "TOO-001"):
            stock = desk.stock(id_of(hub, "products", code), LIVE).result(60)
            shown = {house: Decimal(truth["stock"][house].get(code, {}).get("quantity", 0)) for house in truth["stock"]}
            assert {house.code: house.figures.on_hand for house in stock.warehouses} == shown, code
            assert stock.total.on_hand == sum(shown.values()), code
        assert moved["before"] != moved["after"]
        [one] = {source.provenance for source in stock.sources}
        assert one is Provenance.LIVE
        pieces = desk.stock(id_of(hub, "products", "FAS-001"), CACHED).result(60).total.on_hand
        cartons = desk.stock(id_of(hub, "products", "FAS-001"), CACHED, unit="ct").result(60)
        assert (cartons.unit, cartons.total.on_hand) == ("ct", pieces / 100 if pieces is not None else None)
