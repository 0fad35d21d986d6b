"""A real Tryton behind a proxy that cuts, delays and drops: what the suites see of it.

The books are read directly from the server, as its administrator, so that what is counted did not pass the proxy.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import urllib.request
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from simulators.proxy import LoopbackProxy
from simulators.rehearsal import AUTH, READ, WRITE, Held, Sellable
from simulators.server import LoopbackServer
from simulators.tryton_server.environment import ADMIN_PASSWORD, ADMIN_USER
from simulators.tryton_server.server import TrytonServer

_REFERENCE = re.compile(r"(?<![0-9A-Za-z])CF[0-9A-HJKMNP-TV-Z]{13}(?![0-9A-Za-z])")
_READS = re.compile(
    rb'"method":\s*"(?:model\.[\w.]+\.(?:search_read|read|search|search_count|fields_get|default_get|on_change_\w+'
    rb'|get_\w+|today)|common\.db\.(?:list|version))"'
)
_WARNING = re.compile(r"'UserWarning', \['([^']+)'")
_MODELS = {"account": "party.party", "product": "product.product", "order": "sale.sale"}
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """Every call is a POST to one address: the name of the method says what it does."""
    if b"common.db.login" in body:
        return AUTH
    return READ if _READS.search(body) else WRITE


class Rehearsal:
    """The seeded demo company. folder: keeps Tryton's environment and the seed, made once."""

    connector = "tryton"
    answer_seconds = 2.0
    entities: Sequence[str] = ("account", "product", "order")

    def __init__(self, folder: Path = Path(".tryton")) -> None:
        self._server = TrytonServer(folder)
        self._proxy: LoopbackProxy | None = None
        self._session: tuple[int, str] | None = None

    @property
    def http(self) -> LoopbackServer:
        if self._proxy is None:
            raise RuntimeError("the rehearsal is not running")
        return self._proxy.http

    def __enter__(self) -> Self:
        self._server.start()
        self._proxy = LoopbackProxy(self._server.url, kind_of=kind_of)
        self._proxy.http.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._proxy is not None:
            self._proxy.http.stop()
        self._server.stop()
        self._session = None

    def options(self) -> dict[str, Any]:
        """How the hub reaches it: through the proxy.

        Orders stay quotations: a sale that is confirmed can neither be changed nor cancelled any more. A write takes
        about ten calls, so each has three tries; trytond computes one call at a time, so few go out at once.
        """
        server = self._server
        return {
            "url": self.http.url,
            "database": server.database,
            "user": server.user,
            "password": server.password,
            "order_state": "quotation",
            "attempts": 3,
            "parallel_writes": 2,
        }

    def sellable(self) -> Sellable:
        """Customers without a credit limit, and goods that are sold in whole units."""
        parties = self._read("party.party", [["code", "like", "CUST-%"]], ["credit_limit_amount"])
        goods = self._read("product.product", [["code", "like", "TOO-%"], ["salable", "=", True]], ["code"])
        accounts = [str(row["id"]) for row in parties if row["credit_limit_amount"] is None]
        (warehouse, *_) = self._read("stock.location", [["type", "=", "warehouse"]], ["code"])
        return Sellable(accounts, [str(row["id"]) for row in goods], "EUR", str(warehouse["id"]))

    def ids(self, entity: str) -> set[str]:
        """Of parties (the company's own left out) and variants, deactivated ones too."""
        domain: list[Any] = [["code", "!=", "COMPANY"]] if entity == "account" else []
        return {str(row["id"]) for row in self._read(_MODELS[entity], domain, ["create_date"])}

    def touch(self, entity: str, external_id: str) -> None:
        """A name, a description, or the comment of a sale (which may change in any state) changes.

        A deactivated product is active again.
        """
        if entity == "product":
            (product,) = self._read(_MODELS[entity], [["id", "=", int(external_id)]], ["active"])
            if not product["active"]:  # Tryton lets nobody change more of a deactivated one
                self._call(f"model.{_MODELS[entity]}.write", [int(external_id)], {"active": True})
                return
        field = {"account": "name", "product": "description", "order": "comment"}[entity]
        before = self._read(_MODELS[entity], [["id", "=", int(external_id)]], [field])[0][field] or ""
        self._call(f"model.{_MODELS[entity]}.write", [int(external_id)], {field: f"{before} (changed)".strip()})

    def add(self, entity: str) -> str:
        """A new party; a product needs more than this."""
        if entity != "account":
            raise KeyError(entity)
        return str(self._call("model.party.party.create", [{"name": "A new party"}])[0])

    def remove(self, entity: str, external_id: str) -> None:
        """Deactivated, as its own people do it. Raises KeyError for orders, which are cancelled instead."""
        if entity == "order":
            raise KeyError(entity)
        method, values = f"model.{_MODELS[entity]}.write", {"active": False}
        try:
            self._call(method, [int(external_id)], values)
        except RuntimeError as refusal:
            warning = _WARNING.search(str(refusal))
            if warning is None:
                raise
            self._call("model.res.user.warning.skip", warning[1])
            self._call(method, [int(external_id)], values)

    def expire_credentials(self) -> None:
        """Every session is forgotten."""
        self._call("model.res.user.write", [self._hub_id()], {"password": self._server.password})

    def held(self, entity: str) -> list[Held]:
        """Sales or parties that carry a reference of ours, and all the others."""
        return self._sales() if entity == "order" else self._parties()

    def _sales(self) -> list[Held]:
        fields = ["reference", "party", "state", "shipping_date", "currency.code", "lines.product", "lines.quantity"]
        rows = self._read("sale.sale", [], [*fields, "lines.unit.symbol", "lines.unit_price", "lines.type"])
        return [
            Held(
                str(row["id"]),
                _reference_in(row["reference"]),
                {
                    "account": str(row["party"]),
                    "currency": row["currency."]["code"],
                    "requested_date": _date(row["shipping_date"]),
                    "lines": [
                        {
                            "product": str(line["product"]),
                            "quantity": Decimal(str(line["quantity"])),
                            "unit": (line["unit."] or {}).get("symbol"),
                            "unit_price": Decimal(line["unit_price"]["decimal"]),
                        }
                        for line in row["lines."]
                        if line["type"] == "line"
                    ],
                },
                row["state"] == "cancelled",
            )
            for row in rows
        ]

    def _parties(self) -> list[Held]:
        fields = ["name", "identifiers.code", "identifiers.type", "contact_mechanisms.type", "contact_mechanisms.value"]
        rows = self._read("party.party", [], [*fields, "tax_identifier.code", "addresses.city"])
        found = []
        for row in rows:
            untyped = [one["code"] for one in row["identifiers."] if not one["type"]]
            reach = {one["type"]: one["value"] for one in row["contact_mechanisms."]}
            values = {
                "name": row["name"],
                "email": reach.get("email"),
                "phone": reach.get("phone"),
                "tax_id": (row["tax_identifier."] or {}).get("code"),
                "city": next((one["city"] for one in row["addresses."]), None),
            }
            found.append(Held(str(row["id"]), next(filter(None, map(_reference_in, untyped)), None), values))
        return found

    def _hub_id(self) -> int:
        return int(self._read("res.user", [["login", "=", self._server.user]], ["login"])[0]["id"])

    def _read(self, model: str, domain: list[Any], fields: list[str]) -> list[dict[str, Any]]:
        asked = [["id", ">", 0], domain] if domain else [["id", ">", 0]]
        rows = self._call(f"model.{model}.search_read", asked, 0, None, [["id", "ASC"]], fields, active_test=False)
        return list(rows)

    def _call(self, method: str, *params: Any, **context: Any) -> Any:
        if self._session is None:
            answer = self._post("common.db.login", [ADMIN_USER, {"password": ADMIN_PASSWORD}, "en"], {})
            self._session = (answer[0], answer[1])
        user, token = self._session
        secret = base64.b64encode(f"{ADMIN_USER}:{user}:{token}".encode()).decode()
        known = {"company": 1, "language": "en", **context}
        return self._post(method, [*params, known], {"Authorization": f"Session {secret}"})

    def _post(self, method: str, params: list[Any], headers: dict[str, str]) -> Any:
        question = json.dumps({"id": 1, "method": method, "params": params}).encode()
        # plain answers come marked as gzip to whoever did not ask for it (Tryton 8.2.1): so ask, and look at the bytes
        sent = {"Content-Type": "application/json", "Accept-Encoding": "gzip", **headers}
        request = urllib.request.Request(f"{self._server.url}/{self._server.database}/rpc/", question, sent)
        with _DIRECT.open(request, timeout=60) as response:
            body = response.read()
        answer = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]


def _reference_in(text: str | None) -> str | None:
    found = _REFERENCE.search(text or "")
    return found[0] if found else None


def _date(value: Mapping[str, int] | None) -> str | None:
    return None if value is None else f"{value['year']:04}-{value['month']:02}-{value['day']:02}"
