"""A simulated Acme on loopback: pages, tombstones, versions, tokens that end, refusals; and books with a state.

It stands in for a plain REST service, for you to replace by what your back office does. Write it from the vendor's
documents, not from your connector: where both were wrong in the same way, no test would say so.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, unquote

from simulators.clock import Clock, utc_now
from simulators.exchange import Request, Response, json_response
from simulators.json_text import load
from simulators.rehearsal import AUTH, READ, WRITE
from simulators.server import LoopbackServer

Record = dict[str, Any]

LENGTHS = {"reference": 35, "name": 100, "email": 80, "phone": 30, "currency": 3}
REQUIRED = {"customers": ("name",), "orders": ("customer", "currency", "lines")}
WRITABLE = {
    "customers": {"reference", "name", "email", "phone"},
    "orders": {"reference", "customer", "currency", "wanted", "lines"},
}


def kind_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """What a request does, for plans of faults."""
    if path == "/token":
        return AUTH
    return READ if method == "GET" else WRITE


class Refusal(Exception):
    """What is answered instead."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.response = json_response(status, {"error": {"code": code, "field": field, "message": message}})


@dataclass
class Books:
    """Records by id, one dictionary for each list, and when what was deleted. Everything happens under one lock."""

    lists: dict[str, dict[str, Record]] = field(default_factory=lambda: {"customers": {}, "products": {}, "orders": {}})
    deleted: dict[str, dict[str, datetime]] = field(
        default_factory=lambda: {"customers": {}, "products": {}, "orders": {}}
    )
    lock: threading.RLock = field(default_factory=threading.RLock)
    count: int = 0

    def add(self, name: str, values: Mapping[str, Any], now: datetime) -> Record:
        """A new record with an id that sorts behind all others."""
        with self.lock:
            self.count += 1
            record = {"id": f"{name[0]}{self.count:07}", **values, "version": 1, "changed_at": now}
            self.lists[name][record["id"]] = record
            return record

    def change(self, name: str, record_id: str, values: Mapping[str, Any], now: datetime) -> Record:
        """The same record with other values and the next version."""
        with self.lock:
            record = self.lists[name][record_id]
            record.update(values, version=record["version"] + 1, changed_at=now)
            return record

    def remove(self, name: str, record_id: str, now: datetime) -> None:
        """Leaves a tombstone."""
        with self.lock:
            del self.lists[name][record_id]
            self.deleted[name][record_id] = now


class AcmeSimulator:
    """One service with one client. A context manager; `http` takes the plan of faults."""

    def __init__(self, *, clock: Clock = utc_now, token_seconds: int = 3600) -> None:
        self.books = Books()
        self.client_id, self.client_secret = "hub", secrets.token_urlsafe(16)
        self.token_seconds, self.clock = token_seconds, clock
        self.closed_until: str | None = None
        """Orders that are wanted until that date (as ISO text) are refused: the period is closed."""
        self._tokens: dict[str, datetime] = {}
        self.http = LoopbackServer(self._answer, clock=clock, kind_of=kind_of)

    def __enter__(self) -> AcmeSimulator:
        self.http.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.stop()

    def expire_tokens(self) -> None:
        """What was given so far is not accepted any more."""
        with self.books.lock:
            self._tokens.clear()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Response:
        try:
            with self.books.lock:
                return self._routed(request)
        except Refusal as refusal:
            return refusal.response

    def _routed(self, request: Request) -> Response:
        if request.path == "/token":
            return self._token(request)
        ends = self._tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if ends is None or request.received_at >= ends:
            raise Refusal(401, "unauthorized", "the token is not known or has ended")
        steps = request.path.strip("/").split("/")
        if len(steps) not in (2, 3, 4) or steps[0] != "v1" or steps[1] not in self.books.lists:
            raise Refusal(404, "not_found", f"there is nothing at {request.path}")
        name, key = steps[1], unquote(steps[2]) if len(steps) > 2 else None
        match (request.method, key, len(steps)):
            case ("GET", None, 2):
                return self._page(name, request)
            case ("GET", str(), 3):
                return json_response(200, self._known(name, key))
            case ("POST", None, 2):
                return json_response(201, self._create(name, _body(request), request.received_at))
            case ("PATCH", str(), 3):
                return json_response(200, self._update(name, key, request))
            case ("POST", str(), 4) if name == "orders" and steps[3] == "cancel":
                return json_response(200, self._cancel(key, request.received_at))
        raise Refusal(405, "not_allowed", f"{request.method} is not allowed here")

    def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return json_response(401, {"error": "invalid_client"})
        token = secrets.token_urlsafe(16)
        self._tokens[token] = request.received_at + timedelta(seconds=self.token_seconds)
        return json_response(200, {"access_token": token, "expires_in": self.token_seconds, "token_type": "Bearer"})

    def _page(self, name: str, request: Request) -> Response:
        asked = {key: values[0] for key, values in parse_qs(request.query).items()}
        since = datetime.fromisoformat(asked["changed_since"]) if "changed_since" in asked else None
        rows = [
            record
            for key, record in self.books.lists[name].items()
            if key > asked.get("after", "")
            and (since is None or record["changed_at"] >= since)
            and ("reference" not in asked or asked["reference"] in (record.get("reference") or ""))
        ]
        limit = int(asked.get("limit", "100"))
        page = rows[:limit]
        gone = self.books.deleted[name].items() if since is not None and "after" not in asked else ()
        said = {
            "items": page,
            "deleted": [key for key, when in gone if since is not None and when >= since],
            "next": page[-1]["id"] if len(rows) > limit else None,
            "as_of": request.received_at,
        }
        return json_response(200, said)

    def _known(self, name: str, key: str | None) -> Record:
        record = self.books.lists[name].get(key or "")
        if record is None:
            raise Refusal(404, "not_found", f"there is no {key} in {name}")
        return record

    # -- writes -------------------------------------------------------------------------------------------------------

    def _create(self, name: str, values: Record, now: datetime) -> Record:
        for required in REQUIRED.get(name, ()):
            if values.get(required) in (None, "", []):
                raise Refusal(422, "required", f"{required} must be given", required)
        checked = self._checked(name, values)
        number = str(1001 + self.books.count)
        defaults: Record = {"reference": None, "number": number}
        if name == "orders":
            defaults |= {"status": "open", "wanted": None}
        else:
            defaults |= {"email": None, "phone": None, "is_blocked": False}
        return self.books.add(name, _with_total(defaults | checked), now)

    def _update(self, name: str, key: str | None, request: Request) -> Record:
        record = self._known(name, key)
        expected = request.headers.get("if-match")
        if expected is not None and expected != str(record["version"]):
            raise Refusal(412, "stale", f"the version is {record['version']}")
        if record.get("status", "open") != "open":
            raise Refusal(422, "closed", f"the order is {record['status']}", "status")
        checked = self._checked(name, _body(request))
        return self.books.change(name, record["id"], _with_total({**record, **checked}), request.received_at)

    def _cancel(self, key: str | None, now: datetime) -> Record:
        record = self._known("orders", key)
        if record["status"] not in ("open", "cancelled"):
            raise Refusal(422, "closed", f"the order is {record['status']}", "status")
        if record["status"] == "cancelled":
            return record
        return self.books.change("orders", record["id"], {"status": "cancelled"}, now)

    def _checked(self, name: str, values: Record) -> Record:
        for key, value in values.items():
            if key not in WRITABLE.get(name, ()):
                raise Refusal(422, "unknown_field", f"{name} have no {key}", key)
            if isinstance(value, str) and len(value) > LENGTHS.get(key, 1000):
                raise Refusal(422, "too_long", f"{key} takes {LENGTHS[key]} characters", key)
        if "customer" in values and self._known_or_refused("customers", values["customer"], "customer")["is_blocked"]:
            raise Refusal(422, "blocked", "the customer is blocked", "customer")
        if self.closed_until is not None and (values.get("wanted") or "9999") <= self.closed_until:
            raise Refusal(422, "period_closed", f"the period of {values['wanted']} is closed", "wanted")
        if "lines" in values:
            values = {**values, "lines": [self._line(place, line) for place, line in enumerate(values["lines"])]}
        return values

    def _line(self, place: int, line: Record) -> Record:
        product = self._known_or_refused("products", line.get("product"), f"lines[{place}].product")
        for name in ("quantity", "price"):
            if not isinstance(line.get(name), int | Decimal):
                raise Refusal(422, "required", f"{name} must be a number", f"lines[{place}].{name}")
        unit = line.get("unit") or product["unit"]
        if unit != product["unit"]:
            raise Refusal(422, "unknown", f"{unit} is no unit of {product['code']}", f"lines[{place}].unit")
        kept = {"description": line.get("description"), "unit": unit, "delivered": 0}
        return {
            "id": str(place + 1),
            "product": product["id"],
            "quantity": line["quantity"],
            "price": line["price"],
            **kept,
        }

    def _known_or_refused(self, name: str, key: object, field_name: str) -> Record:
        record = self.books.lists[name].get(str(key))
        if record is None:
            raise Refusal(422, "unknown", f"{key} is not in {name}", field_name)
        return record


def _with_total(record: Record) -> Record:
    if "lines" not in record:
        return record
    return {**record, "total": sum((line["quantity"] * line["price"] for line in record["lines"]), Decimal(0))}


def _body(request: Request) -> Record:
    try:
        values = load(request.body)
    except (ValueError, json.JSONDecodeError):
        raise Refusal(400, "not_json", "the body is not JSON") from None
    if not isinstance(values, dict):
        raise Refusal(400, "not_json", "the body is no JSON object")
    return values
