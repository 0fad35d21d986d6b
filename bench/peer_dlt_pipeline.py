"""Runs inside the peer's environment (never imported by us): one load of the pages with dlt's defaults.

python peer_dlt_pipeline.py --store sqlite|postgres --phase init --url URL --db PATH_OR_URL --folder FOLDER
"""

from __future__ import annotations

import argparse
import json

import dlt
from dlt.sources.rest_api import rest_api_source

DECIMALS = {"inventory": 3, "unitPrice": 2, "unitCost": 4, "netWeight": 3}
TIMESTAMPS = ("createdDateTime", "lastModifiedDateTime")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--store", "--phase", "--url", "--db", "--folder"):
        parser.add_argument(name, required=True)
    given = parser.parse_args()
    columns: dict[str, dict[str, object]] = {
        name: {"data_type": "decimal", "precision": 20, "scale": scale} for name, scale in DECIMALS.items()
    }
    columns |= {name: {"data_type": "timestamp"} for name in TIMESTAMPS}
    source = rest_api_source(
        {
            "client": {"base_url": given.url},
            "resources": [
                {
                    "name": "item",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "columns": columns,
                    "endpoint": {
                        "path": f"{given.phase}/00000.json",
                        "data_selector": "value",
                        "paginator": {"type": "json_link", "next_url_path": "'@odata.nextLink'"},
                    },
                }
            ],
        }
    )
    if given.store == "sqlite":
        destination = dlt.destinations.sqlalchemy(f"sqlite:///{given.db}")
    else:
        destination = dlt.destinations.postgres(given.db)
    pipeline = dlt.pipeline("bench_peer", pipelines_dir=given.folder, destination=destination, dataset_name="peer")
    information = pipeline.run(source)
    information.raise_on_failed_jobs()
    counts = pipeline.last_trace.last_normalize_info.row_counts
    print(json.dumps({"records": counts.get("item")}))


if __name__ == "__main__":
    main()
