"""A small company in the simulated Acme, as the kit and `counterfoil chaos` see it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from simulators.clock import Clock, utc_now
from simulators.rehearsal import Held, Sellable
from simulators.server import LoopbackServer

from .simulator import AcmeSimulator

_LISTS = {"account": "customers", "product": "products", "order": "orders"}
_REFERENCE = re.compile(r"(?<![0-9A-Za-z])CF[0-9A-HJKMNP-TV-Z]{13}(?![0-9A-Za-z])")


class Rehearsal:
    """Six customers, twelve products, an order of each customer."""

    connector = "acme"
    answer_seconds = 0.3
    entities: Sequence[str] = ("account", "product", "order")

    def __init__(self, *, clock: Clock = utc_now) -> None:
        self._simulator = AcmeSimulator(clock=clock)
        self._books = self._simulator.books
        now = clock()
        for number in range(1, 7):
            values = {"name": f"Customer {number}", "email": f"desk@customer-{number}.example", "phone": None}
            self._books.add(
                "customers", {"number": f"C-{number}", "reference": None, **values, "is_blocked": False}, now
            )
        for number in range(1, 13):
            values = {"code": f"W-{number}", "name": f"Widget {number}", "unit": "pcs", "currency": "EUR"}
            self._books.add("products", {**values, "price": Decimal(number) + Decimal("0.50")}, now)

        customers, products = (list(self._books.lists[name].values()) for name in ("customers", "products"))
        for number, customer in enumerate(customers, 1):
            product = products[number]
            line = {"id": "1", "product": product["id"], "quantity": number, "unit": "pcs", "price": product["price"]}
            header = {
                "number": f"S-{number}",
                "reference": f"PO-{number}",
                "customer": customer["id"],
                "currency": "EUR",
            }
            header |= {"status": "open", "wanted": "2026-12-01", "total": number * product["price"]}
            self._books.add("orders", {**header, "lines": [{**line, "description": None, "delivered": 0}]}, now)

    @property
    def http(self) -> LoopbackServer:
        """Its server; plans of faults go there."""
        return self._simulator.http

    def __enter__(self) -> Self:
        self._simulator.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._simulator.__exit__()

    def options(self) -> dict[str, Any]:
        """The settings of a connection to it."""
        simulator = self._simulator
        return {"url": self.http.url, "client_id": simulator.client_id, "client_secret": simulator.client_secret}

    def sellable(self) -> Sellable:
        """The customers and products of the beginning."""
        with self._books.lock:
            customers = [key for key, record in self._books.lists["customers"].items() if record["number"][:2] == "C-"]
            return Sellable(customers, list(self._books.lists["products"]), "EUR")

    def ids(self, entity: str) -> set[str]:
        """What a full read brings."""
        with self._books.lock:
            return set(self._books.lists[_LISTS[entity]])

    def touch(self, entity: str, external_id: str) -> None:
        """A name changes; of an order, when it is wanted."""
        with self._books.lock:
            record = self._books.lists[_LISTS[entity]][external_id]
            changed = {"wanted": "2027-01-04"} if entity == "order" else {"name": record["name"] + " (changed)"}
            self._books.change(_LISTS[entity], external_id, changed, self._simulator.clock())

    def add(self, entity: str) -> str:
        """A copy of a record that is there already."""
        with self._books.lock:
            there = self._books.lists[_LISTS[entity]]
            if not there:
                raise KeyError(entity)
            before = {name: value for name, value in next(iter(there.values())).items() if name != "id"}
            before |= {"reference": None} if "reference" in before else {"code": f"{before['code']}-copy"}
            return str(self._books.add(_LISTS[entity], before, self._simulator.clock())["id"])

    def remove(self, entity: str, external_id: str) -> None:
        """Leaves a tombstone."""
        self._books.remove(_LISTS[entity], external_id, self._simulator.clock())

    def close_until(self, day: str | None) -> None:
        """Orders that are wanted until then, as ISO text, are refused; None opens the period again."""
        self._simulator.closed_until = day

    def expire_credentials(self) -> None:
        """Every token is forgotten."""
        self._simulator.expire_tokens()

    def held(self, entity: str) -> list[Held]:
        """What is in the books."""
        with self._books.lock:
            records = list(self._books.lists[_LISTS[entity]].values())
            return [_order(record) if entity == "order" else _account(record) for record in records]


def _account(record: dict[str, Any]) -> Held:
    values = {name: record[name] for name in ("name", "email", "phone")}
    return Held(record["id"], record["reference"], values)


def _order(record: dict[str, Any]) -> Held:
    lines = [
        {
            "product": line["product"],
            "quantity": Decimal(line["quantity"]),
            "unit": line["unit"],
            "unit_price": Decimal(line["price"]),
        }
        for line in record["lines"]
    ]
    ours = _REFERENCE.search(record["reference"] or "")
    values = {
        "account": record["customer"],
        "currency": record["currency"],
        "requested_date": record["wanted"],
        "lines": lines,
    }
    return Held(record["id"], ours[0] if ours else None, values, record["status"] == "cancelled")
