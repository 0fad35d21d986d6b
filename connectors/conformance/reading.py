"""Reading whatever happens: nothing is lost, nothing comes twice, and nonsense is refused.

    class TestReading(ReadingSuite):
        rehearsal = Rehearsal

Each test runs for every entity that the rehearsal names.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from pydantic import SecretStr

from connectors.conformance.rig import CONNECTION, begin
from connectors.envelopes import Page
from connectors.ports import Connector, Replication
from connectors.registry import get_connector
from crm_core.errors import AuthenticationFailed, ConnectorError
from crm_core.ids import ConnectionName, EntityType
from mappings.compiler import check_document
from mappings.documents import Direction, default_document, load_document
from mappings.outgoing import check_push_document
from mappings.workbench import run_examples, run_push_examples
from simulators.faults import Fault, FaultKind, Rule, always
from simulators.rehearsal import READ, Rehearsal
from sync_jobs.decisions import Decision
from sync_jobs.outgoing import outgoing_of
from sync_jobs.settings import ConnectionSettings, open_connector

_PAGES = 4
"""So many pages, at least, has a read where nothing else is said."""
_MOST_PAGES = 1000
_WRITING = (Decision.CREATED, Decision.UPDATED, Decision.DELETED, Decision.DEAD)


class ReadingSuite:
    """Subclass it in a test module and name the rehearsal.

    options: further settings of the connection. entities: of those that the rehearsal names, where not all are to be
    read here (a real server is slower than a simulator).
    """

    rehearsal: ClassVar[Callable[[], Rehearsal]]
    options: ClassVar[Mapping[str, Any]] = {}
    entities: ClassVar[Collection[str] | None] = None

    @pytest.fixture(scope="class")
    @classmethod
    def _running(cls) -> Iterator[Rehearsal]:
        with cls.rehearsal() as running:
            yield running

    @pytest.fixture
    def office(self, _running: Rehearsal) -> Iterator[Rehearsal]:
        """The running rehearsal, undisturbed. Its books go on from test to test."""
        _running.http.set_plan([])
        yield _running
        _running.http.set_plan([])
        assert _running.http.crashes == []

    # -- mappings ----------------------------------------------------------------------------------------------------

    def test_the_shipped_mappings_fit_and_their_examples_pass(self, office: Rehearsal) -> None:
        """Of every stream and every sink, and they agree on who owns which field."""
        manifest = get_connector(office.connector).manifest
        for entity, stream in manifest.streams.items():
            document = load_document(default_document(office.connector, entity))
            assert check_document(document, stream.shape) == [], entity
            assert document.examples, f"the mapping of {entity} shows no example"
            assert [one for one in run_examples(document, stream.shape) if not one.has_passed] == [], entity
        for entity, sink in manifest.sinks.items():
            document = load_document(default_document(office.connector, entity, Direction.PUSH))
            assert check_push_document(document, sink) == [], entity
            assert document.examples, f"the push mapping of {entity} shows no example"
            assert [one for one in run_push_examples(document, sink) if not one.has_passed] == [], entity
        everything = ConnectionSettings(ConnectionName(CONNECTION), office.connector, {}, {}, tuple(manifest.sinks))
        assert set(outgoing_of(everything)) == set(manifest.sinks)

    # -- a walk through the pages -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("parts", [2, 3, 7])
    def test_every_record_comes_once_whatever_the_page_size(self, office: Rehearsal, parts: int) -> None:
        for entity in self._entities(office):
            size = self._page_size(office, entity, parts)
            assert self._read(office, entity, page_size=size) == Counter(office.ids(entity.value)), entity

    def test_an_interrupted_read_goes_on_behind_the_last_page_that_was_stored(self, office: Rehearsal) -> None:
        """Stopped after each page in turn, and gone on with by another process."""
        for entity in self._entities(office):
            with self._opened(office, page_size=self._page_size(office, entity)) as connector:
                pages = list(connector.stream(entity).pages(None))
            assert sum(len(page.records) for page in pages) == len(office.ids(entity.value))
            assert [page.resume is None for page in pages] == [*[False] * (len(pages) - 1), True]
            for stored, page in enumerate(pages[:-1], 1):
                with self._opened(office, page_size=self._page_size(office, entity)) as connector:
                    rest = list(connector.stream(entity).pages(None, resume=page.resume))
                assert _ids([*pages[:stored], *rest]) == Counter(office.ids(entity.value)), (entity, stored)
                assert rest[-1].watermark == pages[-1].watermark or rest[-1].watermark is not None

    def test_a_single_record_is_the_same_as_in_the_list(self, office: Rehearsal) -> None:
        for entity in self._entities(office):
            with self._opened(office) as connector:
                stream = connector.stream(entity)
                listed = next(record for page in stream.pages(None) for record in page.records)
                alone = stream.get(listed.external_id)
            assert (alone.external_id, alone.version) == (listed.external_id, listed.version)

    # -- what changes -------------------------------------------------------------------------------------------------

    def test_a_change_comes_with_the_next_incremental_read(self, office: Rehearsal) -> None:
        for entity in self._incremental(office):
            watermark = self._watermark(office, entity)
            changed = min(office.ids(entity.value))
            office.touch(entity.value, changed)
            assert changed in self._read(office, entity, since=watermark), entity

    def test_what_changes_at_the_very_watermark_is_read_again(self, office: Rehearsal) -> None:
        """A watermark is inclusive: a record that was stamped in the same instant may have come later than the page."""
        for entity in self._incremental(office):
            changed = max(office.ids(entity.value))
            office.touch(entity.value, changed)
            watermark = self._watermark(office, entity)
            assert changed in self._read(office, entity, since=watermark), entity

    def test_a_record_that_changes_during_a_read_is_in_this_one_or_the_next(self, office: Rehearsal) -> None:
        """Changed behind the reader's back, on a page that it has read already; and one that it has not."""
        for entity in self._incremental(office):
            order = [record.external_id for page in self._pages(office, entity) for record in page.records]
            for changed in (order[0], order[-1]):
                with self._opened(office, page_size=self._page_size(office, entity)) as connector:
                    pages = connector.stream(entity).pages(None)
                    read = [next(pages)]
                    office.touch(entity.value, changed)
                    read.extend(pages)
                assert set(_ids(read)) == office.ids(entity.value), entity
                watermark = read[-1].watermark
                assert watermark is not None
                assert changed in self._read(office, entity, since=watermark), entity

    def test_a_record_that_comes_about_during_a_read_is_in_this_one_or_the_next(self, office: Rehearsal) -> None:
        for entity in self._incremental(office):
            with self._opened(office, page_size=self._page_size(office, entity)) as connector:
                pages = connector.stream(entity).pages(None)
                read = [next(pages)]
                try:
                    added = office.add(entity.value)
                except KeyError:
                    continue
                read.extend(pages)
            watermark = read[-1].watermark
            assert watermark is not None
            assert added in _ids(read) or added in self._read(office, entity, since=watermark), entity

    def test_what_is_deleted_does_not_stay(self, office: Rehearsal) -> None:
        """A tombstone, a record that says so, or an absence in a list that has everything."""
        for entity in self._entities(office):
            before = self._payloads(office, entity)
            spec = get_connector(office.connector).manifest.streams[entity]
            watermark = self._watermark(office, entity) if spec.replication is not Replication.FULL else None
            try:
                gone = office.add(entity.value)
                before |= self._payloads(office, entity)
            except KeyError:
                gone = max(before)
            try:
                office.remove(entity.value, gone)
            except KeyError:
                continue
            if watermark is not None:
                with self._opened(office) as connector:
                    changes = list(connector.stream(entity).pages(watermark))
                if any(gone in page.deleted for page in changes):
                    continue
            after = self._payloads(office, entity)
            says_so = gone in after and after[gone] != before[gone]
            assert says_so or (gone not in after and spec.lists_everything), entity

    # -- faults -------------------------------------------------------------------------------------------------------

    def test_a_page_that_comes_again_and_again_is_refused(self, office: Rehearsal) -> None:
        """Whichever answer repeats an earlier one: the read ends, and is never taken for whole when it is not."""
        for entity in self._entities(office):
            if self._questions(office, entity) < _PAGES:
                continue  # a list that comes whole
            refused = 0
            for nth in range(1, 8):
                office.http.forget_answers()  # an earlier read's page would be another page, not the same again
                office.http.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), kind=READ, nth=nth, times=None)])
                refused += self._is_refused_or_right(office, entity)
            office.http.set_plan([])
            assert refused, f"{entity}: no loop was noticed"

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(FaultKind.HTML),
            Fault(FaultKind.TRUNCATED_JSON),
            Fault(FaultKind.CUT_MIDDLE),
            Fault(FaultKind.STATUS, status=500),
            Fault(FaultKind.STATUS, status=404),
            Fault(FaultKind.GZIP_MARKED_PLAIN),
        ],
        ids=lambda fault: f"{fault.kind.value}{fault.status or ''}",
    )
    def test_nonsense_is_never_taken_for_an_answer(self, office: Rehearsal, fault: Fault) -> None:
        """Any one answer of the read, and all that follow."""
        for entity in self._entities(office):
            for nth in (1, 2, 3):
                office.http.set_plan([Rule(fault, kind=READ, nth=nth, times=None)])
                self._is_refused_or_right(office, entity)
            office.http.set_plan([])

    @pytest.mark.parametrize(
        "fault",
        [Fault(FaultKind.CUT_BEFORE), Fault(FaultKind.CUT_MIDDLE), Fault(FaultKind.STATUS, status=503)],
        ids=lambda fault: fault.kind.value,
    )
    def test_a_read_survives_a_disturbance(self, office: Rehearsal, fault: Fault) -> None:
        """What only reads is repeated: one fault stops nothing."""
        for entity in self._entities(office):
            office.http.set_plan([Rule(fault, kind=READ, nth=2)])
            assert self._read(office, entity, page_size=self._page_size(office, entity)) == Counter(
                office.ids(entity.value)
            ), entity

    def test_a_member_that_nobody_announced_changes_nothing(self, office: Rehearsal) -> None:
        """Vendors add fields between two releases of a connector."""
        for entity in self._entities(office):
            office.http.set_plan([always(Fault(FaultKind.SURPRISE))])
            assert self._read(office, entity, page_size=self._page_size(office, entity)) == Counter(
                office.ids(entity.value)
            ), entity

    def test_credentials_that_end_in_mid_read_are_renewed(self, office: Rehearsal) -> None:
        for entity in self._entities(office):
            with self._opened(office, page_size=self._page_size(office, entity)) as connector:
                read = []
                for page in connector.stream(entity).pages(None):
                    read.append(page)
                    office.expire_credentials()
            assert _ids(read) == Counter(office.ids(entity.value)), entity

    def test_wrong_credentials_are_told_and_not_shown(self, office: Rehearsal) -> None:
        fields = get_connector(office.connector).manifest.config.model_fields
        secrets = [name for name, spec in fields.items() if _is_secret(spec.annotation) and name in office.options()]
        assert secrets, "the connection has no secret"
        wrong = dict.fromkeys(secrets, "not-the-right-one")
        with self._opened(office, **wrong) as connector, pytest.raises(AuthenticationFailed) as caught:
            connector.check()
        assert "not-the-right-one" not in str(caught.value)

    def test_asked_to_slow_down_it_waits_as_long_as_it_is_told(self, office: Rehearsal) -> None:
        slower = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "1"),))
        office.http.set_plan([Rule(slower, kind=READ, nth=1)])
        for entity in self._entities(office):
            began = time.monotonic()
            assert self._read(office, entity) == Counter(office.ids(entity.value))
            if office.http.disturbed:  # some streams ask for nothing
                assert time.monotonic() - began >= 1
                return
        pytest.fail("no request was hit: `kind_of` of the rehearsal does not tell reads")

    # -- through the engine -------------------------------------------------------------------------------------------

    def test_a_pull_takes_everything_in_and_a_second_one_changes_nothing(
        self, office: Rehearsal, tmp_path: Path
    ) -> None:
        """With the shipped mappings: no dead letter, and nothing is written twice."""
        rig = begin(office, tmp_path, **self.options)
        report = rig.pull(full=True)
        assert report.status == "succeeded"
        for entity, counted in report.entities.items():
            assert {what: counted.decisions[what] for what in _WRITING if counted.decisions[what]} == {}, entity
        for entity in self._entities(office):
            assert report.entities[entity].decisions[Decision.UNCHANGED] == len(office.ids(entity.value)), entity

    # -- small things -------------------------------------------------------------------------------------------------

    def _page_size(self, office: Rehearsal, entity: EntityType, parts: int = _PAGES) -> int:
        """Records of a page, so that a whole read has at least so many pages."""
        return max(1, len(office.ids(entity.value)) // parts)

    def _opened(self, office: Rehearsal, **options: Any) -> Connector:
        values = {**office.options(), **self.options, **options}
        return open_connector(ConnectionSettings(ConnectionName(CONNECTION), office.connector, values, {}))

    def _pages(self, office: Rehearsal, entity: EntityType, since: str | None = None, **options: Any) -> list[Page]:
        with self._opened(office, **options) as connector:
            pages = []
            for page in connector.stream(entity).pages(since):
                pages.append(page)
                assert len(pages) < _MOST_PAGES, "the read does not end"
            return pages

    def _read(self, office: Rehearsal, entity: EntityType, since: str | None = None, **options: Any) -> Counter[str]:
        return _ids(self._pages(office, entity, since, **options))

    def _questions(self, office: Rehearsal, entity: EntityType) -> int:
        """How often a whole read asks the same address."""
        office.http.clear_log()
        self._read(office, entity, page_size=self._page_size(office, entity))
        asked = Counter(exchange.path for exchange in office.http.log if exchange.kind == READ)
        return max(asked.values(), default=0)

    def _payloads(self, office: Rehearsal, entity: EntityType) -> dict[str, bytes]:
        return {
            str(one.external_id): bytes(one.payload) for page in self._pages(office, entity) for one in page.records
        }

    def _watermark(self, office: Rehearsal, entity: EntityType) -> str:
        watermark = self._pages(office, entity)[-1].watermark
        assert watermark is not None, f"a whole read of {entity} gives no watermark"
        return watermark

    def _entities(self, office: Rehearsal) -> list[EntityType]:
        """What the rehearsal has records of."""
        found = [EntityType(name) for name in office.entities if self.entities is None or name in self.entities]
        return [entity for entity in found if office.ids(entity.value)]

    def _incremental(self, office: Rehearsal) -> list[EntityType]:
        streams = get_connector(office.connector).manifest.streams
        return [one for one in self._entities(office) if streams[one].replication is not Replication.FULL]

    def _is_refused_or_right(self, office: Rehearsal, entity: EntityType) -> bool:
        try:
            read = self._read(office, entity, page_size=self._page_size(office, entity), attempts=1)
        except ConnectorError:
            return True
        assert read == Counter(office.ids(entity.value)), f"{entity}: an answer that makes no sense was taken for one"
        return False


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


def _ids(pages: list[Page]) -> Counter[str]:
    return Counter(str(record.external_id) for page in pages for record in page.records)
