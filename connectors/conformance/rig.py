"""One hub and one rehearsed back office: settings, a store, a pull; and changes of the CRM to push.

The kit and `counterfoil chaos` both stand on it.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from connectors.conformance.faults import SETTLED
from connectors.registry import get_connector
from connectors.sinks import Action
from crm_core.clock import Clock, system_clock
from crm_core.errors import ConfigurationFault
from crm_core.ids import ConnectionName, CrmId, EntityType
from crm_core.model.account import Account, Address
from crm_core.model.base import Entity
from crm_core.model.sales import Order, OrderLine
from crm_core.store import repository
from crm_core.store.page import crm_ids_of
from simulators.rehearsal import Rehearsal
from sync_jobs import operations, push_operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.changes import Saved, changing
from sync_jobs.push_report import PushListener, PushReport
from sync_jobs.settings import FILE_NAME

CONNECTION = ConnectionName("rehearsed")
ATTEMPTS = 2
"""Tries of a read: few, so that a disturbed look-up soon comes back without an answer."""

_WORDS = ("Customer", "ลูกค้า", "مشتری", "Kundin ☕", "Żółw & Söhne")
"""What customers are called: our users sell in all scripts."""
_FIRST_DAY = date(2031, 1, 6)


@dataclass(frozen=True)
class Rig:
    """A folder with settings and a store of its own, a running rehearsal, and what orders can be written from.

    accounts, products, warehouse: CRM ids of what was pulled.
    """

    rehearsal: Rehearsal
    hub: Hub
    accounts: tuple[CrmId, ...]
    products: tuple[CrmId, ...]
    warehouse: CrmId | None
    currency: str

    @property
    def folder(self) -> Path:
        """Where its settings lie."""
        return self.hub.settings.file.parent

    def actions(self, entity: EntityType) -> frozenset[Action]:
        """What the connector's sink of an entity can do; nothing when there is no such sink."""
        sinks = get_connector(self.rehearsal.connector).manifest.sinks
        return sinks[entity].actions if entity in sinks else frozenset()

    def copied(self, folder: Path, **options: Any) -> Rig:
        """The same hub with a store of its own, as it was when this one was begun. options: of the connection."""
        folder.mkdir(parents=True, exist_ok=True)
        _copy_store(self.hub.database.path, folder / self.hub.database.path.name)
        file = write_settings(folder, self.rehearsal, **options)
        return Rig(
            self.rehearsal,
            open_hub(file, self.hub.clock),
            self.accounts,
            self.products,
            self.warehouse,
            self.currency,
        )

    # -- the CRM ------------------------------------------------------------------------------------------------------

    def new_account(self, number: int) -> Account:
        """A customer that the back office does not know."""
        site = Address(
            code="1", street=f"Example Street {number}", city="Example City", postal_code="1000", country="BE",
            is_bill_to=True, is_ship_to=True,
        )  # fmt: skip
        return Account(
            code=f"CF{number:06}",
            name=f"{_WORDS[number % len(_WORDS)]} {number}",
            email=f"desk{number}@customer.example",
            phone=f"+32 2 555 {number:06}",
            currency=self.currency,
            addresses=(site,),
        )

    def new_order(self, number: int, account: CrmId | None = None, *, status: Any = "confirmed") -> Order:
        """An order of one to three lines; the same for the same number."""
        draw = random.Random(number)  # noqa: S311 - it protects nothing
        lines = tuple(
            OrderLine(
                code=str(place),
                product_id=draw.choice(self.products),
                quantity=Decimal(draw.randint(1, 9)),
                unit_price=Decimal(draw.randint(100, 99_999)) / 100,
            )
            for place in range(1, draw.randint(1, 3) + 1)
        )
        return Order(
            account_id=account or draw.choice(self.accounts),
            status=status,
            currency=self.currency,
            requested_date=_FIRST_DAY + timedelta(days=draw.randint(0, 300)),
            warehouse_id=self.warehouse,
            reference=f"PO-{number}" if number % 3 else None,
            lines=lines,
        )

    def edited(self, entity: Entity, number: int) -> Entity:
        """The same account or order, changed as a user would change it."""
        if isinstance(entity, Account):
            changes: Mapping[str, Any] = {
                "name": f"{_WORDS[(number + 1) % len(_WORDS)]} {number}, renamed",
                "email": f"new{number}@customer.example",
            }
            return entity.model_copy(update=changes)
        assert isinstance(entity, Order)
        other = self.new_order(number + 1_000_000)
        amounts = {"untaxed_amount": None, "tax_amount": None, "total_amount": None}
        return entity.model_copy(update={"lines": other.lines, "requested_date": other.requested_date, **amounts})

    def save(self, entity: Entity) -> Saved:
        """Write an entity into the CRM, and queue what goes out for it."""
        with changing(self.hub) as save_one:
            return save_one(entity)

    def get(self, saved: Saved) -> Entity:
        """An entity as the CRM has it now."""
        return repository.get_entity(self.hub.database.engine, saved.entity, saved.crm_id)

    # -- the engines --------------------------------------------------------------------------------------------------

    def push(self, *, wait_seconds: float = 30.0, listener: PushListener | None = None) -> PushReport:
        """Until nothing more can be done, or nothing has come to pass for so long."""
        return push_operations.push(self.hub, CONNECTION, wait_seconds=wait_seconds, listener=listener)

    def pull(self, *, full: bool = False) -> Any:
        """Everything that the connector reads."""
        return operations.pull(self.hub, CONNECTION, full=full)


def timing_of(rehearsal: Rehearsal, slow: float = 1.0) -> dict[str, Any]:
    """Settings of a connection whose time-outs are as short as the rehearsal answers.

    slow: so many times later it answers where much else is going on. What the rehearsal's own options say of tries
    stands: a write that takes many calls hardly ever comes through with few.
    """
    seconds = slow * rehearsal.answer_seconds
    tries = rehearsal.options().get("attempts", ATTEMPTS)
    return {"timeout_seconds": seconds, "settle_seconds": SETTLED * seconds, "attempts": tries}


def begin(rehearsal: Rehearsal, folder: Path, *, clock: Clock = system_clock, **options: Any) -> Rig:
    """A hub for a running rehearsal, everything pulled. options: of the connection, instead of the rehearsal's own.

    Raises ConfigurationFault when what the rehearsal says can be sold was not pulled.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return pulled(open_hub(write_settings(folder, rehearsal, **options), clock), rehearsal)


def pulled(hub: Hub, rehearsal: Rehearsal) -> Rig:
    """Everything pulled into a hub that has the connection. Raises ConfigurationFault as `begin` does."""
    report = operations.pull(hub, CONNECTION)
    if report.status != "succeeded":
        raise ConfigurationFault(f"the first pull of {rehearsal.connector} ended as {report.status}: {report.error}")
    sellable = rehearsal.sellable()
    with operations.opened(hub) as session:
        accounts = crm_ids_of(session, CONNECTION, EntityType.ACCOUNT, sellable.accounts)
        products = crm_ids_of(session, CONNECTION, EntityType.PRODUCT, sellable.products)
        places = [sellable.warehouse] if sellable.warehouse is not None else []
        warehouses = crm_ids_of(session, CONNECTION, EntityType.WAREHOUSE, places)
    missing = {*sellable.accounts, *sellable.products, *places} - {*accounts, *products, *warehouses}
    if missing or not accounts or not products:
        raise ConfigurationFault(f"the rehearsal sells what was not pulled: {', '.join(sorted(missing)) or 'nothing'}")
    return Rig(
        rehearsal,
        hub,
        tuple(accounts[one] for one in sellable.accounts),
        tuple(products[one] for one in sellable.products),
        next(iter(warehouses.values()), None),
        sellable.currency,
    )


def _copy_store(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(target)) as here:
        there.backup(here)


def write_settings(folder: Path, rehearsal: Rehearsal, **options: Any) -> Path:
    """`counterfoil.toml` for one connection that pushes all that its connector takes."""
    sinks = [entity.value for entity in get_connector(rehearsal.connector).manifest.sinks]
    values = {**rehearsal.options(), **options}
    lines = [f"[connections.{CONNECTION}]", f'connector = "{rehearsal.connector}"', f"push = {_toml(sinks)}"]
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    file = folder / FILE_NAME
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _toml(value: Any) -> str:
    """A value as TOML: its texts, numbers, booleans and lists are written as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{msgspec.json.encode(str(k)).decode()} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return msgspec.json.encode(value).decode()
