"""The command line as `bench.acme_hub` has it, with leases of six seconds, so that a test need not wait for thirty."""

from __future__ import annotations

from datetime import timedelta

from bench.acme_hub import build_in
from cli import main
from crm_core.store import jobs
from crm_core.store import leases as kept_leases
from sync_jobs import leases, push

LEASE = timedelta(seconds=6)


if __name__ == "__main__":
    jobs.LEASE = kept_leases.LEASE_DURATION = push.LEASE = LEASE
    leases.RENEW_SECONDS = push.RENEW_SECONDS = push.MARGIN_SECONDS = 1.0
    build_in()
    main(prog_name="counterfoil")
