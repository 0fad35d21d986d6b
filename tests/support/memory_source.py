"""A back office in memory: records with modification times, pages by a keyset, faults by plan.

It keeps the promises of `connectors.ports.SourceStream`, so that the engine can be tested against every order of
events; the real back offices are tested in `tests/tryton` and `tests/business_central`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.envelopes import Page, SourceRecord, UnreadableRecord
from connectors.transport.json_pages import encode
from connectors.watermark import Granularity, reading_begins, watermark_of
from crm_core.errors import RecordNotFound
from crm_core.ids import ExternalId

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class MemorySource:
    """Rows by id; `modified` is stamped by the source's own clock, at its granularity."""

    page_size: int = 3
    look_back: timedelta = timedelta(0)
    granularity: Granularity = Granularity.MICROSECOND
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    modified: dict[str, datetime] = field(default_factory=dict)
    clock: datetime = MIDNIGHT
    tombstones: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    pages_served: int = 0
    gets: list[str] = field(default_factory=list)
    fails_after_pages: int | None = None
    failure: BaseException = field(default_factory=lambda: ConnectionError("cut"))
    appended_moment: str | None = None
    before_page: Callable[[int], None] | None = None

    def put(self, key: str, *, tick: timedelta = timedelta(seconds=1), **values: Any) -> None:
        """Create or change a row; the clock moves first."""
        self.clock += tick
        self.rows[key] = {"id": key, **values}
        stamp = self.clock
        if self.granularity is Granularity.SECOND:
            stamp = stamp.replace(microsecond=0)
        elif self.granularity is Granularity.DAY:
            stamp = stamp.replace(hour=0, minute=0, second=0, microsecond=0)
        self.modified[key] = stamp

    def remove(self, key: str, *, tells: bool = False) -> None:
        """Delete a row; `tells` leaves a tombstone for the next read."""
        del self.rows[key], self.modified[key]
        if tells:
            self.tombstones.append(key)

    def finish(self, key: str) -> None:
        """A row comes to its end: it is no longer listed, and the next read says why."""
        del self.rows[key], self.modified[key]
        self.finished.append(key)

    def _record(self, key: str) -> SourceRecord:
        payload = encode(self.rows[key])
        if self.appended_moment is not None:
            payload = payload[:-1] + b',"@as_of":"' + self.appended_moment.encode() + b'"}'
        return SourceRecord(ExternalId(key), payload, f"v{self.modified[key].timestamp()}")

    def pages(self, since: str | None, *, resume: str | None = None) -> Iterator[Page]:
        served = 0
        if since is None:
            start, _, key = (resume or "\t").partition("\t")
            highest = start or (
                watermark_of(max(self.modified.values())) if self.modified else watermark_of(self.clock)
            )
            while True:
                keys = sorted(k for k in self.rows if k > key)[: self.page_size]
                is_last = not any(k > (keys[-1] if keys else key) for k in self.rows)
                key = keys[-1] if keys else key
                yield self._page(
                    keys, served, None if not is_last else highest, None if is_last else f"{highest}\t{key}"
                )
                served += 1
                if is_last:
                    return
        else:
            begin = reading_begins(since, self.look_back, self.granularity)
            place = (begin, "") if resume is None else _place(resume)
            while True:
                due = sorted((m, k) for k, m in self.modified.items() if (m, k) > place and m >= begin)
                chunk = due[: self.page_size]
                is_last = len(due) <= self.page_size
                if chunk:
                    place = chunk[-1]
                mark = watermark_of(chunk[-1][0]) if chunk else since
                yield self._page(
                    [k for _, k in chunk], served, mark, None if is_last else f"{watermark_of(place[0])}\t{place[1]}"
                )
                served += 1
                if is_last:
                    return

    def _page(self, keys: list[str], served: int, watermark: str | None, resume: str | None) -> Page:
        if self.fails_after_pages is not None and served >= self.fails_after_pages:
            raise self.failure
        if self.before_page is not None:
            self.before_page(served)
        self.pages_served += 1
        tombstones, self.tombstones = self.tombstones, []
        finished, self.finished = self.finished, []
        broken, self.unreadable = self.unreadable, []
        return Page(
            [self._record(key) for key in keys],
            deleted=[ExternalId(key) for key in tombstones],
            watermark=watermark,
            resume=resume,
            unreadable=[UnreadableRecord(payload, "has no id") for payload in broken],
            finished=[ExternalId(key) for key in finished],
        )

    def get(self, external_id: ExternalId) -> SourceRecord:
        self.gets.append(external_id)
        if external_id not in self.rows:
            raise RecordNotFound(f"no row {external_id}")
        return self._record(external_id)


def _place(resume: str) -> tuple[datetime, str]:
    moment, _, key = resume.partition("\t")
    return datetime.fromisoformat(moment), key
