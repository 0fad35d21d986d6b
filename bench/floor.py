"""The floor: the least work that puts the pages into a table. http.client, orjson, text or COPY, one transaction.

It validates nothing, keeps no checkpoint, writes no audit and rewrites every row that it is given; a hub that does its
job costs more than this on a first load and may well cost less on a re-read, where it can skip what did not change.

    python -m bench.floor --store sqlite|postgres --phase init|second|delta --url http://127.0.0.1:PORT --db PATH_OR_URL
    python -m bench.floor --store sqlite|postgres --phase verify --db PATH_OR_URL

prints one JSON object: the number of records, and for `verify` the exact sums that the store holds.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sqlite3
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.data import BOOLEAN_FIELDS, DECIMAL_FIELDS, FIELDS, SUMMED_FIELDS, TIMESTAMP_FIELDS, VARIANTS, page_name

TIME_OUT_SECONDS = 30.0
Record = dict[str, Any]  # one decoded JSON object of a page


def fetch_pages(url: str, variant: str) -> Iterator[list[Record]]:
    """The decoded records of every page of `variant`, following the next links over one connection."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIME_OUT_SECONDS)
    path: str | None = f"/{variant}/{page_name(0)}"
    try:
        while path is not None:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise ConnectionError(f"HTTP {response.status} for {path}")
            page = orjson.loads(body)
            yield page["value"]
            link = page.get("@odata.nextLink")
            path = str(PurePosixPath(path).with_name(link)) if link else None
    finally:
        connection.close()


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _overwrite() -> str:
    """`"name" = excluded."name"` for every column but the key."""
    return ", ".join(f'"{name}" = excluded."{name}"' for name in FIELDS[1:])


def load_sqlite(pages: Iterator[list[Record]], path: str) -> int:
    """Rollback journal, synchronous FULL, one transaction; every value as text."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("PRAGMA synchronous = FULL")
    columns = ", ".join(f'"{name}" TEXT' for name in FIELDS[1:])
    upsert = (
        f"INSERT INTO item ({_quoted(FIELDS)}) VALUES ({', '.join('?' * len(FIELDS))}) "
        f"ON CONFLICT (id) DO UPDATE SET {_overwrite()}"
    )
    count = 0
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"CREATE TABLE IF NOT EXISTS item (id TEXT PRIMARY KEY, {columns})")
    for records in pages:
        connection.executemany(upsert, [[*map(str, record.values())] for record in records])
        count += len(records)
    connection.execute("COMMIT")
    connection.close()
    return count


def postgres_type(name: str) -> str:
    if name in DECIMAL_FIELDS:
        return "numeric"
    if name in TIMESTAMP_FIELDS:
        return "timestamptz"
    return "boolean" if name in BOOLEAN_FIELDS else "text"


def load_postgres(pages: Iterator[list[Record]], conninfo: str) -> int:
    """COPY into a temporary table, then one INSERT ... ON CONFLICT, in one transaction; typed columns."""
    import psycopg  # only for this store: 30 MB that the SQLite floor must not pay for

    columns = ", ".join(f'"{name}" {postgres_type(name)}' for name in FIELDS[1:])
    count = 0
    with psycopg.connect(conninfo, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS item (id text PRIMARY KEY, {columns})")  # type: ignore[arg-type,unused-ignore]
        cursor.execute("CREATE TEMPORARY TABLE incoming (LIKE item) ON COMMIT DROP")
        with cursor.copy(f"COPY incoming ({_quoted(FIELDS)}) FROM STDIN") as copy:  # type: ignore[arg-type,unused-ignore]
            for records in pages:
                # No escaping: the generated values hold no tab, line end or backslash.
                copy.write("".join(["\t".join(map(str, record.values())) + "\n" for record in records]))
                count += len(records)
        cursor.execute(
            f"INSERT INTO item ({_quoted(FIELDS)}) SELECT {_quoted(FIELDS)} FROM incoming "  # type: ignore[arg-type,unused-ignore]
            f"ON CONFLICT (id) DO UPDATE SET {_overwrite()}"
        )
    return count


def totals_sqlite(path: str) -> dict[str, int | str]:
    """Number of rows and sums by Decimal, from the stored text."""
    connection = sqlite3.connect(path)
    sums = dict.fromkeys(SUMMED_FIELDS, Decimal(0))
    count = 0
    for row in connection.execute(f"SELECT {_quoted(SUMMED_FIELDS)} FROM item"):
        count += 1
        for name, value in zip(SUMMED_FIELDS, row, strict=True):
            sums[name] += Decimal(value)
    connection.close()
    return {"records": count, **{name: str(total) for name, total in sums.items()}}


def totals_postgres(conninfo: str) -> dict[str, int | str]:
    """Number of rows and sums by the server's numeric type."""
    import psycopg

    selected = ", ".join(f'sum("{name}")' for name in SUMMED_FIELDS)
    with psycopg.connect(conninfo, connect_timeout=10) as connection:
        row = connection.execute(f"SELECT count(*), {selected} FROM item").fetchone()  # type: ignore[arg-type,unused-ignore]
    assert row is not None
    return {"records": row[0], **dict(zip(SUMMED_FIELDS, map(str, row[1:]), strict=True))}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.floor", description="the least work that loads the pages")
    parser.add_argument("--store", choices=("sqlite", "postgres"), required=True)
    parser.add_argument("--phase", choices=(*VARIANTS, "verify"), required=True)
    parser.add_argument("--url", help="of the static server; not for verify")
    parser.add_argument("--db", required=True, help="a file for sqlite, postgresql://... for postgres")
    given = parser.parse_args(arguments)
    if given.phase == "verify":
        found = totals_sqlite(given.db) if given.store == "sqlite" else totals_postgres(given.db)
        print(json.dumps(found))
        return 0
    if given.url is None:
        parser.error("--url is needed")
    pages = fetch_pages(given.url, given.phase)
    count = load_sqlite(pages, given.db) if given.store == "sqlite" else load_postgres(pages, given.db)
    print(json.dumps({"records": count}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
