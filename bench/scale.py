"""What limits 10, 1,000 and 100,000 connections: synthetic tenants in a real PostgreSQL, and what is asked of them.

    python -m bench.scale                            10 and 1,000 connections measured, 100,000 reckoned from them
    python -m bench.scale --connections 10 100

Each connection has a small company: products with their bindings and payloads, runs, an outbox with a history and two
writes that wait. Rows are made by the database itself. What is measured: how large the tables are, and how long the
statements take that every worker, every scrape of metrics and every look at `counterfoil status` ask. The larger number
is reckoned from the second: rows, bytes and what looks at everything in proportion; what an index finds stays as it is.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.postgres import PostgresUnavailable, running_postgres
from crm_core.store import leases, outbox_steps, retention, state
from crm_core.store.database import Database
from crm_core.store.session import Session
from crm_core.store.watch import read_facts

RECKONED = 100_000
_TABLES = (
    "products",
    "bindings",
    "payload_bodies",
    "payload_pages",
    "runs",
    "outbox",
    "checkpoints",
    "streams",
    "leases",
)
_REPEATS = 7
FACTS = "all facts (status, metrics, alerts)"
OLD = "old intents counted (clean)"
LOOKS_AT_EVERYTHING = frozenset({FACTS, OLD})
"""What takes longer with every connection; the others ask for one connection, by an index."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """How much one connection has. page_bytes: of a stored page of payloads, compressed."""

    products: int = 300
    runs: int = 100
    sent: int = 50
    page_records: int = 100
    page_bytes: int = 9_000


@dataclass(frozen=True, slots=True)
class Measured:
    """One size. megabytes: by table, indexes included. milliseconds: median, by what was asked."""

    connections: int
    rows: int
    megabytes: Mapping[str, float]
    milliseconds: Mapping[str, float]


def fill(session: Session, connections: int, tenant: Tenant) -> None:
    """Synthetic tenants c1 ... cN. Values differ enough that indexes and rows are as wide as real ones."""
    every = f"generate_series(1, {connections}) c"
    with session.transaction():
        session.run(
            "INSERT INTO streams (id, connection, entity) SELECT (c - 1) * 2 + e, 'c' || c,"
            f" CASE e WHEN 1 THEN 'product' ELSE 'order' END FROM {every}, generate_series(1, 2) e"
        )
        session.run(
            "INSERT INTO checkpoints (stream_id, watermark, is_reading, run_id, updated_at)"
            f" SELECT s, '2026-11-22T09:00:00Z', false, 1, now() FROM generate_series(1, {2 * connections}) s"
        )
        session.run(
            "INSERT INTO leases (name, token, owner, expires_at)"
            f" SELECT 'c' || c, 100, '', now() - interval '1 hour' FROM {every}"
        )
        numbered = f"{every}, generate_series(1, {tenant.products}) n"
        session.run(
            "INSERT INTO products (id, custom, code, name, names, status, kind, list_price, currency)"
            f" SELECT (c - 1) * {tenant.products} + n, '{{}}', 'W-' || n, 'Widget number ' || n || ' of company ' || c,"
            f" '{{}}', 'active', 'goods', {_price(session)}, 'EUR' FROM {numbered}"
        )
        session.run(
            "INSERT INTO bindings (stream_id, external_id, binding_id, crm_id, fingerprint, mapping, version,"
            f" payload_page, payload_index) SELECT (c - 1) * 2 + 1, 'ext-' || n, (c - 1) * {tenant.products} + n,"
            f" (c - 1) * {tenant.products} + n, decode(md5(c || '/' || n), 'hex'), 'a1b2c3d4e5f6', 'v' || n,"
            f" (c - 1) * 1000 + n / {tenant.page_records}, mod(n, {tenant.page_records}) FROM {numbered}"
        )
        pages = max(1, tenant.products // tenant.page_records)
        paged = f"{every}, generate_series(0, {pages - 1}) p"
        session.run(
            "INSERT INTO payload_pages (id, stream_id, run_id, stored_at, live)"
            f" SELECT (c - 1) * 1000 + p, (c - 1) * 2 + 1, 1, now(), {tenant.page_records} FROM {paged}"
        )
        session.run(
            "INSERT INTO payload_bodies (page_id, body) SELECT (c - 1) * 1000 + p,"
            " decode((SELECT string_agg(md5(c || '.' || p || '.' || i), '')"
            f" FROM generate_series(1, {tenant.page_bytes // 16}) i), 'hex') FROM {paged}"
        )
        ran = f"{every}, generate_series(1, {tenant.runs}) r"
        report = '{"product": {"full": false, "read": 12, "pages": 1, "seconds": 0.4, "unchanged": 10, "updated": 2}}'
        session.run(
            "INSERT INTO runs (id, job, connection, kind, status, started_at, finished_at, report, owner)"
            f" SELECT (c - 1) * {tenant.runs} + r, 'c' || c, 'c' || c,"
            " CASE mod(r, 2) WHEN 0 THEN 'pull' ELSE 'push' END,"
            f" 'succeeded', now() - interval '15 min' * ({tenant.runs} - r), now() - interval '15 min' *"
            f" ({tenant.runs} - r), '{report}', 'host:1:2' FROM {ran}"
        )
        made = f"{every}, generate_series(1, {tenant.sent + 2}) n"
        content = '{"account_id": 7, "status": "confirmed", "lines": [{"quantity": 2, "unit_price": 9.5}]}'
        session.run(
            "INSERT INTO outbox (id, connection, entity, crm_id, action, state, reference, revision, content,"
            " content_hash, payload, is_edited, attempts, looks, lease_token, lease_owner, origin, created_at,"
            f" changed_at) SELECT (c - 1) * {tenant.sent + 2} + n, 'c' || c, 'order', (c - 1) * 1000 + n, 'create',"
            f" CASE WHEN n <= {tenant.sent} THEN 'confirmed' ELSE 'queued' END, 'CF' || c || '-' || n, 1,"
            f" convert_to('{content}', 'UTF8'), decode(md5(c || '/' || n), 'hex'), convert_to('{content}', 'UTF8'),"
            f" false, 0, 0, 0, '', 'crm', now() - interval '1 day', now() - interval '1 day' FROM {made}"
        )
        for name in ("streams", "bindings", "product", "payload_pages", "runs", "outbox"):
            session.run("INSERT INTO id_blocks (name, next_id) VALUES (?, 1000000000)", (name,))
    session.run("ANALYZE")


def _price(session: Session) -> str:
    kind = session.all(
        "SELECT data_type FROM information_schema.columns WHERE table_name = 'products' AND column_name = 'list_price'"
    )[0][0]
    return "'9.50'" if kind == "text" else "9.50"


def questions(database: Database, session: Session, connections: int) -> dict[str, Callable[[], object]]:
    """What is asked all day. The names stand in docs/scale.md"""
    names = _spread(connections)
    now = datetime.now(UTC)

    def claim() -> None:
        name = next(names)
        with session.transaction():
            got = outbox_steps.claim(session, name, "bench", now, now + timedelta(seconds=30), 32)  # type: ignore[arg-type]
            assert len(got) == 2, name

    def lease() -> None:
        leases.take_lease(session, next(names), datetime.now(UTC)).release(session, datetime.now(UTC))

    def run() -> None:
        number = state.start_run(session, name := next(names), name, "pull", datetime.now(UTC))
        with session.transaction():
            state.finish_run(session, number, "succeeded", datetime.now(UTC), {}, None)

    return {
        "lease taken and given back": lease,
        "run begun and ended": run,
        "two writes claimed": claim,
        "last 20 runs of a job": lambda: state.list_runs(session, job=next(names), limit=20),
        FACTS: lambda: read_facts(database, now),
        OLD: lambda: retention.INTENTS.count(session, now - timedelta(days=400)),
    }


def _spread(connections: int) -> Iterator[str]:
    """Connections far from each other, none twice in a row."""
    place = 0
    while True:
        place = (place + 7919) % connections
        yield f"c{place + 1}"


def measure(server_database: Database, connections: int, tenant: Tenant) -> Measured:
    """Fill an empty database and ask."""
    server_database.upgrade()
    with closing(server_database.open()) as session:
        fill(session, connections, tenant)
        found: dict[str, float] = {}
        for what, ask in questions(server_database, session, connections).items():
            times = []
            for _ in range(_REPEATS):
                began = time.perf_counter()
                ask()
                times.append((time.perf_counter() - began) * 1000)
            found[what] = statistics.median(times)
        sizes = {table: int(session.all("SELECT pg_total_relation_size(?)", (table,))[0][0]) / 1e6 for table in _TABLES}
        rows = sum(int(session.all(f"SELECT count(*) FROM {table}")[0][0]) for table in _TABLES)
    return Measured(connections, rows, sizes, found)


def reckon(measured: Measured, connections: int) -> Measured:
    """Rows, bytes and what looks at everything in proportion; what an index finds takes as long as it took."""
    ratio = connections / measured.connections
    times = {
        what: value * (ratio if what in LOOKS_AT_EVERYTHING else 1) for what, value in measured.milliseconds.items()
    }
    per = {table: value * ratio for table, value in measured.megabytes.items()}
    return Measured(connections, int(measured.rows * ratio), per, times)


@contextmanager
def _database(prefix: str) -> Iterator[Database]:
    with running_postgres(fsync=True) as server, server.fresh_database(prefix) as fresh:
        made = Database(fresh.conninfo)
        try:
            yield made
        finally:
            made.engine.dispose()


def show(found: Sequence[Measured], reckoned: Measured) -> None:
    """Tables as docs/scale.md has them."""
    columns = [*found, reckoned]
    head = [f"{one.connections:,}" for one in found] + [f"{reckoned.connections:,} (reckoned)"]
    print("| | " + " | ".join(head) + " |")
    print("|---|" + "---:|" * len(head))
    print("| rows | " + " | ".join(f"{one.rows:,}" for one in columns) + " |")
    for table in _TABLES:
        print(f"| {table}, MB | " + " | ".join(f"{one.megabytes[table]:,.1f}" for one in columns) + " |")
    print("| all of these, MB | " + " | ".join(f"{sum(one.megabytes.values()):,.0f}" for one in columns) + " |")
    for what in found[0].milliseconds:
        print(f"| {what}, ms | " + " | ".join(f"{one.milliseconds[what]:,.1f}" for one in columns) + " |")


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--connections", type=int, nargs=2, default=[10, 1000], metavar="N", help="the two sizes")
    parser.add_argument("--products", type=int, default=Tenant().products, help="of each connection")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    given = parser.parse_args(arguments)
    if not 1 <= given.connections[0] < given.connections[1]:
        parser.error("--connections are two numbers, the smaller one first")
    return given


def main(arguments: list[str]) -> int:
    """0: measured; 1: there is no PostgreSQL."""
    given = parse(arguments)
    tenant = Tenant(products=given.products)
    found = []
    try:
        for connections in given.connections:
            with _database(f"scale_{connections}") as database:
                found.append(measure(database, connections, tenant))
    except PostgresUnavailable as reason:
        print(f"bench.scale: no PostgreSQL: {reason}", file=sys.stderr)
        return 1
    reckoned = reckon(found[1], RECKONED)
    if given.json:
        told = [
            {"connections": one.connections, "rows": one.rows, "megabytes": one.megabytes, "ms": one.milliseconds}
            for one in (*found, reckoned)
        ]
        print(json.dumps({"measured": told[:2], "reckoned": told[2]}, indent=2))
    else:
        show(found, reckoned)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
