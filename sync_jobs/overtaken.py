"""What a live look-up asked for later, beside a run, is not overwritten by what was on its way before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from crm_core.store.page import pages_asked_for_later
from crm_core.store.session import Session
from sync_jobs.arrivals import Arrival, PageWork


def without_overtaken(
    session: Session, arrivals: Sequence[Arrival], work: PageWork, asked_at: datetime, *, is_job: bool
) -> list[Arrival]:
    """Those that nobody has asked for later and stored already; the others count as unchanged.

    is_job: a page of a run, which only a live look-up can overtake: runs come one after the other, and our own clock
    may have been set back between two. For entities that tell their moment, `PageMapper` goes by that instead.
    """
    pages = sorted({a.binding.payload_page for a in arrivals if a.binding is not None and a.binding.payload_page})
    later = pages_asked_for_later(session, pages, asked_at, only_live=is_job) if pages else set()
    kept = []
    for arrival in arrivals:
        if arrival.binding is not None and arrival.binding.payload_page in later:
            work.unchanged.append(tuple(arrival.binding))
        else:
            kept.append(arrival)
    return kept
