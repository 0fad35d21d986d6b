"""Counterfoil's side of `bench.pull`: the same records through the real engine, mapping and store.

    python -m bench.hub --store sqlite --phase init --url http://127.0.0.1:8123 --db crm.sqlite

`prepare` makes the schema and is not measured: a hub is migrated when it is installed, not at every pull. `verify`
prints what the store holds, for the runner to compare.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # as cli.py does, before anything of ours is imported

from connectors.config import ConnectionConfig
from connectors.envelopes import Page, SourceRecord
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.http import HttpClient
from connectors.transport.json_pages import page_reader
from connectors.watermark import watermark_of
from crm_core.clock import system_clock
from crm_core.ids import ConnectionName, EntityType, ExternalId
from crm_core.store import leases, state
from crm_core.store.database import Database
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from sync_jobs.decisions import PullPolicy
from sync_jobs.process import tuned_for_throughput
from sync_jobs.pull import Puller
from sync_jobs.report import RunReport, SilentListener
from sync_jobs.stream_run import PulledStream

MAPPING = Path(__file__).with_name("product.yaml")
SHAPE: Shape = dict.fromkeys(
    (
        *("id", "number", "displayName", "displayName2", "type", "itemCategoryCode", "blocked", "gtin", "inventory"),
        *("unitPrice", "priceIncludesTax", "unitCost", "taxGroupCode", "baseUnitOfMeasureCode", "salesUnit"),
        *("postingGroup", "vendor", "netWeight", "leadTime", "createdDateTime", "lastModifiedDateTime"),
    ),
    "any",
)


class StaticItems:
    """The stream of the bench's static pages, read with the project's own transport."""

    def __init__(self, client: HttpClient, variant: str) -> None:
        self._client, self._variant = client, variant
        self._read = page_reader("value", "id", modified_key="lastModifiedDateTime", next_key="@odata.nextLink")

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        """Every page of the variant, whatever `since` says: the pages of `delta` are the changed ones."""
        link: str | None = resume or "00000.json"
        while link is not None:
            cut = self._read(self._client.get(f"{self._variant}/{link}", operation="GET items").body)
            link = cut.next_link
            mark = watermark_of(cut.highest_modified) if cut.highest_modified is not None else None
            yield Page(cut.records, watermark=mark, resume=link, unreadable=cut.unreadable)

    def get(self, external_id: ExternalId) -> SourceRecord:
        """Static pages answer no questions."""
        raise LookupError(external_id)


def run(database: Database, phase: str, url: str) -> None:
    """One measured phase."""
    mapping = compile_mapping(load_document(MAPPING), SHAPE)
    session = database.open()
    lease = leases.take_lease(session, "bench", system_clock())
    run_id = state.start_run(session, "bench", "bench", phase, system_clock())
    spec = StreamSpec(Replication.INCREMENTAL, SHAPE, look_back=timedelta(0), lists_everything=phase != "delta")
    with HttpClient(ConnectionConfig(), url) as client, tuned_for_throughput():
        stream = PulledStream(EntityType.PRODUCT, StaticItems(client, phase), spec, mapping)
        report = RunReport(run_id, "bench", "bench")
        puller = Puller(
            session,
            ConnectionName("bench"),
            {EntityType.PRODUCT: stream},
            PullPolicy(swung_share=1.0),  # the made-up prices jump about; the guard would hold them, rightly
            system_clock,
            SilentListener(),
            lease,
            report,
        )
        puller.pull(EntityType.PRODUCT, full=phase != "delta")
    state.finish_run(session, run_id, "succeeded", system_clock(), report.as_data(), None)
    lease.release(session, system_clock())
    session.close()
    json.dump(report.as_data(), sys.stdout)
    sys.stdout.write("\n")


def verify(database: Database) -> None:
    """What the store holds: the number of products and the exact sums of their decimals."""
    from sqlalchemy import select

    from crm_core.store.tables import ENTITIES

    products = ENTITIES[EntityType.PRODUCT]
    sums = {"inventory": 0, "unitPrice": 0, "unitCost": 0}
    records = 0
    with database.engine.connect() as connection:
        rows = connection.execute(select(products.c.custom, products.c.list_price, products.c.cost_price))
        for custom, price, cost in rows:
            records += 1
            sums["inventory"] += custom["inventory"]
            sums["unitPrice"] += price
            sums["unitCost"] += cost
    json.dump({"records": records, **{name: str(total) for name, total in sums.items()}}, sys.stdout)
    sys.stdout.write("\n")


def main() -> int:
    """Parse, run one phase."""
    parser = argparse.ArgumentParser(prog="python -m bench.hub", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "postgres"), required=True)
    parser.add_argument("--phase", choices=("prepare", "init", "second", "delta", "verify"), required=True)
    parser.add_argument("--url", default="")
    parser.add_argument("--db", required=True)
    options = parser.parse_args()
    database = Database(f"sqlite:///{options.db}" if options.store == "sqlite" else options.db)
    if options.phase == "prepare":
        database.upgrade()
    elif options.phase == "verify":
        verify(database)
    else:
        run(database, options.phase, options.url)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
