"""Sign in to the running Tryton over the network, through its own client; the scripts beside this share it."""

import functools
import hashlib
import json
import os
import socket
import sys
from collections import Counter
from contextlib import contextmanager
from datetime import date
from decimal import Decimal

from proteus import Model
from proteus.config import set_xmlrpc_session

REPLY_SECONDS = 60


@contextmanager
def session():
    """Yield proteus' configuration, signed in over the network as the administrator."""
    socket.setdefaulttimeout(REPLY_SECONDS)  # proteus takes no time-out of its own
    address, user = os.environ["TRYTON_DEMO_URL"], os.environ["TRYTON_DEMO_USER"]
    with set_xmlrpc_session(address, user, os.environ["TRYTON_DEMO_PASSWORD"], headers=[]) as config:
        # proteus asks for the list of all methods at every record that it makes: once is enough
        names = functools.cache(config.server.system.listMethods)
        config.get_proxy_methods = functools.cache(
            lambda model, type="model": [
                name.removeprefix(f"{type}.{model}.") for name in names() if name.rpartition(".")[0] == f"{type}.{model}"
            ]
        )
        yield config


def call(config, model, method, *arguments, **context):
    """Call a server method with the session's context, extended by `context`."""
    return getattr(config.get_proxy(model), method)(*arguments, {**config.context, **context})


def create(config, model, rows, **context):
    """Create many records in one call; return their ids. Nothing is filled in by the client's `on_change`."""
    return call(config, model, "create", rows, **context)


def read(config, model, domain, fields, order=(("id", "ASC"),), **context):
    """Search and read all that match, inactive ones only when the domain asks for them."""
    return call(config, model, "search_read", domain, 0, None, [list(part) for part in order], fields, **context)


def one(model, *domain):
    """The single record that matches the domain."""
    (record,) = Model.get(model).find(list(domain))
    return record


def first(model, *domain):
    """The first record that matches the domain, by id."""
    return Model.get(model).find(list(domain), order=[("id", "ASC")], limit=1)[0]


def accept_warning(config, kind, model, record_id) -> None:
    """Say yes beforehand to the question that the server is going to ask about this record.

    Over the network a client cannot switch warnings off (the server drops context keys that start with "_"); the
    server knows a question by this name.
    """
    key = hashlib.md5(f"{model},{record_id}".encode(), usedforsecurity=False).hexdigest()
    call(config, "res.user.warning", "skip", f"{key}.{kind}", False)


def today(config) -> date:
    """The server's date in the company's time zone."""
    value = call(config, "ir.date", "today")
    return value.date() if hasattr(value, "date") else value


def stock_of(config, warehouse):
    """By product code: what lies in the warehouse today, and what is forecast once all open moves are done."""
    place = {"locations": [warehouse], "with_childs": True}
    domain, far = [["type", "=", "goods"], ["active", "in", [True, False]]], date(9999, 12, 31)
    now = read(config, "product.product", domain, ["code", "quantity"], stock_date_end=today(config), **place)
    later = read(config, "product.product", domain, ["code", "forecast_quantity"], stock_date_end=far, **place)
    forecast = {row["code"]: row["forecast_quantity"] + late for row, late in zip(later, _late(config, warehouse, later))}
    return {
        row["code"]: {"quantity": text(row["quantity"]), "forecast": text(forecast[row["code"]])} for row in now
    }


def _late(config, warehouse, products):
    """By how much each product's moves that were planned for a day before today will change the warehouse.

    Tryton's forecast leaves them out, although the goods are still promised: without them the figures of a company
    that moved nothing would differ from one day to the next.
    """
    inside, changes = ["child_of", [warehouse], "parent"], Counter()
    open_before = [["state", "=", "draft"], ["planned_date", "<", today(config)]]
    for sign, near, far in ((-1, "from_location", "to_location"), (1, "to_location", "from_location")):
        crossing = [[near, *inside], [far, f"not {inside[0]}", *inside[1:]]]
        for row in read(config, "stock.move", [*open_before, *crossing], ["product", "internal_quantity"]):
            changes[row["product"]] += sign * row["internal_quantity"]
    return [changes[product["id"]] for product in products]


def text(value):
    """A decimal or float as a plain string, exactly as held; None stays None."""
    if value is None:
        return None
    return format(value if isinstance(value, Decimal) else Decimal(repr(value)), "f")


def answer(value) -> None:
    """Print the one JSON object that the caller reads."""
    json.dump(value, sys.stdout, ensure_ascii=True, indent=1)
    sys.stdout.write("\n")
