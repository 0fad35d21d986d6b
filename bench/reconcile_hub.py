"""Counterfoil's side of `bench.reconcile`: one phase a process, on the store that the phases before left.

    python -m bench.reconcile_hub --store sqlite --phase init --variant plain --url http://127.0.0.1:8123 --db x.sqlite

`prepare` makes the schema, `plant` alters our database behind everybody's back; neither is measured. `reconcile` and
`repair` print the differences that are open afterwards.
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

from bench.data import Work
from bench.differences import GROUPS, plant_here
from bench.hub import SHAPE, StaticItems
from connectors.config import ConnectionConfig
from connectors.envelopes import Page, SourceRecord
from connectors.ports import Replication, StreamSpec
from connectors.shapes import Shape
from connectors.transport.http import HttpClient
from crm_core.clock import system_clock
from crm_core.ids import ConnectionName, EntityType, ExternalId
from crm_core.store import leases, state
from crm_core.store.database import Database
from crm_core.store.drifts import list_drifts
from mappings.compiler import compile_mapping
from mappings.documents import load_document
from sync_jobs.decisions import PullPolicy
from sync_jobs.process import tuned_for_throughput
from sync_jobs.pull import Puller
from sync_jobs.reconcile import Reconciler
from sync_jobs.report import RunReport, SilentListener
from sync_jobs.stream_run import PulledStream

BENCH = ConnectionName("bench")
PRODUCT, UNIT_GROUP = EntityType.PRODUCT, EntityType.UNIT_GROUP
MAPPING = Path(__file__).with_name("product_of_every_kind.yaml")
PRODUCT_SHAPE: Shape = {
    **SHAPE,
    **dict.fromkeys(("group", "lead", "since"), "any"),
    "units": [dict.fromkeys(("unit", "n"), "any")],
}
GROUP_SHAPE: Shape = {"id": "text", "code": "text", "units": [{"code": "text"}]}
GROUP_MAPPING = """
entity: unit_group
connector: bench
fields:
  code: code
  units: {each: units, fields: {code: code, is_base: {value: true}}}
"""


class Groups:
    """The few unit groups that the products refer to."""

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        yield Page([self._record(number) for number in range(GROUPS)])

    def get(self, external_id: ExternalId) -> SourceRecord:
        return self._record(int(external_id[1:]))

    def _record(self, number: int) -> SourceRecord:
        body = {"id": f"g{number}", "code": f"G{number}", "units": [{"code": "PCS"}]}
        return SourceRecord(ExternalId(f"g{number}"), json.dumps(body).encode())


def run(database: Database, phase: str, variant: str, url: str) -> None:
    """One measured phase."""
    items = compile_mapping(load_document(MAPPING), PRODUCT_SHAPE)
    groups = compile_mapping(load_document(GROUP_MAPPING), GROUP_SHAPE)
    session = database.open()
    lease = leases.take_lease(session, BENCH, system_clock())
    run_id = state.start_run(session, "bench", BENCH, phase, system_clock())
    with HttpClient(ConnectionConfig(), url) as client, tuned_for_throughput():
        spec = StreamSpec(Replication.INCREMENTAL, PRODUCT_SHAPE, look_back=timedelta(0))
        streams = {
            UNIT_GROUP: PulledStream(UNIT_GROUP, Groups(), StreamSpec(Replication.FULL, GROUP_SHAPE), groups),
            PRODUCT: PulledStream(PRODUCT, StaticItems(client, variant), spec, items),
        }
        report = RunReport(run_id, "bench", BENCH)
        policy = PullPolicy(swung_share=1.0)
        puller = Puller(session, BENCH, streams, policy, system_clock, SilentListener(), lease, report)
        if phase in ("reconcile", "repair"):
            Reconciler(puller, repairs=phase == "repair").reconcile(PRODUCT)
        else:
            if phase == "init":
                puller.pull(UNIT_GROUP)
            puller.pull(PRODUCT, full=True)
    state.finish_run(session, run_id, "succeeded", system_clock(), report.as_data(), None)
    lease.release(session, system_clock())
    drifts = list_drifts(session, BENCH, state="open", limit=1_000_000)
    session.close()
    json.dump([[drift.kind, drift.record, drift.field] for drift in drifts], sys.stdout)
    sys.stdout.write("\n")


def main() -> int:
    """Parse, run one phase."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconcile_hub", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgres"), required=True)
    parser.add_argument("--phase", choices=("prepare", "init", "reread", "plant", "reconcile", "repair"), required=True)
    parser.add_argument("--variant", default="plain")
    parser.add_argument("--url", default="")
    parser.add_argument("--db", required=True)
    parser.add_argument("--records", type=int, default=0, help="plant: how many there are")
    parser.add_argument("--count", type=int, default=0, help="plant: how many differences")
    options = parser.parse_args()
    database = Database(f"sqlite:///{options.db}" if options.store == "sqlite" else options.db)
    if options.phase == "prepare":
        database.upgrade()
    elif options.phase == "plant":
        session = database.open()
        plant_here(session, Work(options.records), options.count)
        session.close()
    else:
        run(database, options.phase, options.variant, options.url)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
