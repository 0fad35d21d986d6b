"""A CRM without a back office: one account with a limit, one product at 10.00; and what sales do there."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from crm_core.clock import Clock
from crm_core.ids import CrmId
from crm_core.model.account import Account, Credit
from crm_core.model.catalogue import Product
from crm_core.store import sales as store
from crm_core.store.database import Database
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import save
from sync_jobs.live.answers import DraftLine, OrderDraft
from sync_jobs.operations import opened


@dataclass
class Shop:
    """The hub with the ids in it."""

    hub: Hub
    account: CrmId
    product: CrmId

    def draft(self, amount: int, **options: object) -> OrderDraft:
        """An order of services for so much."""
        line = DraftLine(self.product, Decimal(1), None, Decimal(amount))
        return OrderDraft(self.account, (line,), **{"currency": "EUR", **options})  # type: ignore[arg-type]

    def promised(self) -> tuple[Decimal, Decimal]:
        """(reserved, ordered) of the account now."""
        with opened(self.hub) as session:
            _, held = store.claims_on(session, self.account, [], self.hub.clock())
            orders = session.all("SELECT untaxed_amount FROM orders WHERE account_id = ?", (self.account,))
        return sum((one.amount for one in held), Decimal(0)), sum((Decimal(row[0]) for row in orders), Decimal(0))

    def written(self) -> dict[str, int]:
        """Rows of everything that an order writes."""
        tables = ("orders", "order_lines", "outbox", "entered_orders", "credit_reservations", "credit_turns")
        with opened(self.hub) as session:
            return {table: session.all(f"SELECT count(*) FROM {table}")[0][0] for table in tables}


def open_shop(
    database: Database, folder: Path, clock: Clock, limit: Decimal | None, *, sales: str = "", owed: int = 0
) -> Shop:
    """A new hub on an empty store. The credit is the CRM's own, true now."""
    file = folder / "counterfoil.toml"
    file.write_text(f'[store]\nurl = "{database.url}"\n\n[sales]\n{sales}\n', encoding="utf-8")
    hub = open_hub(file, clock)
    account = save(hub, Account(code="A1", name="Ada Ltd", currency="EUR")).crm_id
    product = save(hub, Product(code="P1", name="Hour", kind="service", list_price=Decimal(10), currency="EUR")).crm_id
    credit = Credit(
        account_id=account,
        currency="EUR",
        limit=limit,
        open_receivables=Decimal(owed),
        open_orders=Decimal(0),
        undelivered=Decimal(0),
        overdue=Decimal(0),
        as_of=clock(),
    )
    save(hub, credit)
    return Shop(hub, account, product)
