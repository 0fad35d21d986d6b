"""Writing under faults: whatever happens on the way, the books hold exactly one record with the right values.

    class TestWriting(WritingSuite):
        rehearsal = Rehearsal

Each test enters a change in the CRM, disturbs one request of the write, pushes until nothing is left to do, and then
compares the books with the CRM. A write of several requests is disturbed at each of them in turn.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from connectors.conformance import worker
from connectors.conformance.audit import Audit, Books, audit, books_of
from connectors.conformance.faults import FAULTS_OF_READS, faults_of_writes, plan_of
from connectors.conformance.rig import Rig, begin, timing_of
from connectors.sinks import Action
from crm_core.ids import EntityType
from crm_core.model.base import Entity
from simulators.faults import Fault, FaultKind, Plan, Rule
from simulators.rehearsal import READ, WRITE, Rehearsal
from simulators.server import LoopbackServer
from sync_jobs.changes import Saved
from sync_jobs.push_report import PushReport, SilentPushListener

ACCOUNT, ORDER = EntityType.ACCOUNT, EntityType.ORDER
WRITES = [
    (ACCOUNT, Action.CREATE),
    (ACCOUNT, Action.UPDATE),
    (ORDER, Action.CREATE),
    (ORDER, Action.UPDATE),
    (ORDER, Action.CANCEL),
]
_MOST_REQUESTS = 20
_DEATH_SECONDS = 30.0
_NEVER_LATE = 10
"""Times the time in which the rehearsal answers."""
_numbers = itertools.count(1)
"""Of what is entered: codes are unique over there."""

NAMES_OF_FAULTS = tuple(faults_of_writes(1))


class WritingSuite:
    """Subclass it in a test module and name the rehearsal. options: further settings of the connection."""

    rehearsal: ClassVar[Callable[[], Rehearsal]]
    options: ClassVar[Mapping[str, Any]] = {}

    # -- what the tests stand on --------------------------------------------------------------------------------------

    @pytest.fixture(scope="class")
    @classmethod
    def template(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
        """The running rehearsal, and a hub that has pulled it."""
        with cls.rehearsal() as rehearsal:
            yield begin(rehearsal, tmp_path_factory.mktemp("hub"), **cls.options)

    @pytest.fixture
    def rig(self, request: pytest.FixtureRequest, template: Rig, tmp_path: Path) -> Iterator[Rig]:
        """A hub of its own for each test; the books go on."""
        template.rehearsal.http.set_plan([])
        fault = request.getfixturevalue("fault") if "fault" in request.fixturenames else None
        options = {**_timing_under(fault, template.rehearsal), "parallel_writes": 1, **self.options}
        yield template.copied(tmp_path / "hub", **options)
        template.rehearsal.http.set_plan([])

    @pytest.fixture
    def before(self, template: Rig) -> Books:
        """What is in the books when the test begins."""
        return books_of(template.rehearsal)

    # -- the tests ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("entity", "action"), WRITES)
    def test_a_write_arrives_once_with_the_right_values(
        self, rig: Rig, before: Books, entity: EntityType, action: Action
    ) -> None:
        """Undisturbed. Without this nothing else means anything."""
        self._skip_without(rig, entity, action)
        self._entered(rig, entity, action)
        report = rig.push(wait_seconds=0)
        _assert_clean(rig, before)
        assert report.looked_up == 0, "an answer that came was not understood"
        assert report.sent == 1, "one change is one write"

    @pytest.mark.parametrize("fault", NAMES_OF_FAULTS)
    @pytest.mark.parametrize(("entity", "action"), WRITES)
    def test_a_disturbed_write_is_there_exactly_once(
        self, rig: Rig, before: Books, entity: EntityType, action: Action, fault: str
    ) -> None:
        """Each request of the write in turn is hit by the fault, once."""
        self._skip_without(rig, entity, action)
        disturbance = faults_of_writes(rig.rehearsal.answer_seconds)[fault]
        for nth in range(1, _MOST_REQUESTS + 1):
            self._entered(rig, entity, action)
            was_hit = _pushed_under(rig, [Rule(disturbance, kind=WRITE, nth=nth)])
            _assert_clean(rig, before, f"the request no. {nth} was hit")
            if not was_hit:
                break
        assert nth > 1, "no request was hit: `kind_of` of the rehearsal does not tell writes"

    @pytest.mark.parametrize(
        "fault", ["cut before the request", "5xx before the commit", "cut in the middle of the answer"]
    )
    def test_a_look_up_that_fails_is_done_again(self, rig: Rig, before: Books, fault: str) -> None:
        """The answer to the write is lost, and then the way is disturbed for looking, too."""
        http = rig.rehearsal.http
        rig.save(self._new(rig, self._main_entity(rig)))
        http.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE)])
        # more often in a row than the transport repeats a read, so that the look-up itself comes back without an answer
        in_a_row = timing_of(rig.rehearsal)["attempts"] + 1
        report = rig.push(listener=_OnceLost(http, [Rule(FAULTS_OF_READS[fault], kind=READ, nth=1, times=in_a_row)]))
        assert report.total("lost") == 1
        assert http.disturbed > 0 or report.looked_up == 0, "the look-up was not disturbed"
        http.set_plan([])
        rig.push()
        _assert_clean(rig, before)

    def test_several_writes_at_once_are_disturbed_each_in_its_own_way(self, rig: Rig, before: Books) -> None:
        """Accounts and their orders, with a fault on every third request."""
        for _ in range(8):
            account = rig.save(self._new(rig, ACCOUNT)).crm_id if rig.actions(ACCOUNT) else None
            if rig.actions(ORDER):
                rig.save(rig.new_order(next(_numbers), account))
        assert _pushed_under(rig, plan_of(0.33, 7, rig.rehearsal.answer_seconds), wait_seconds=60)
        rig.push()
        _assert_clean(rig, before)

    def test_two_edits_go_out_in_their_order(self, rig: Rig, before: Books) -> None:
        """The second edit waits for the first one, whatever happens to that."""
        entity = self._main_entity(rig)
        self._skip_without(rig, entity, Action.UPDATE)
        saved = rig.save(self._new(rig, entity))
        rig.rehearsal.http.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE)])
        rig.push(wait_seconds=0)
        rig.save(rig.edited(rig.get(saved), next(_numbers)))
        rig.push()
        rig.save(rig.edited(rig.get(saved), next(_numbers)))
        rig.push()
        _assert_clean(rig, before)

    @pytest.mark.parametrize("moment", worker.MOMENTS)
    def test_killed_at_any_moment_the_next_push_goes_on(self, rig: Rig, before: Books, moment: str) -> None:
        """kill -9 while an intent is in each of its states, and while the back office has it and we do not know."""
        rig.save(self._new(rig, self._main_entity(rig)))
        if moment == worker.OUTCOME_UNKNOWN:
            rig.rehearsal.http.set_plan([Rule(Fault(FaultKind.CUT_AFTER), kind=WRITE)])
        _die(rig, moment)
        rig.rehearsal.http.set_plan([])
        rig.push()
        _assert_clean(rig, before)

    def test_killed_after_the_commit_over_there(self, rig: Rig, before: Books) -> None:
        """The back office has it, and the process that sent it is gone before the answer came."""
        rig.save(self._new(rig, self._main_entity(rig)))
        http = rig.rehearsal.http
        slow = Fault(FaultKind.LATENCY, latency_ms=int(_DEATH_SECONDS * 1000), after_commit=True)
        http.set_plan([Rule(slow, kind=WRITE)])
        process = worker.start(rig.hub.settings.file)
        try:
            assert http.is_holding.wait(_DEATH_SECONDS), "the write never arrived"
        finally:
            process.kill()
            process.wait()
        http.set_plan([])
        rig.push()
        _assert_clean(rig, before)

    # -- small things -------------------------------------------------------------------------------------------------

    def _skip_without(self, rig: Rig, entity: EntityType, action: Action) -> None:
        if action not in rig.actions(entity):
            pytest.skip(f"{rig.rehearsal.connector} does not {action.value} {entity.value}s")

    def _main_entity(self, rig: Rig) -> EntityType:
        return ORDER if rig.actions(ORDER) else ACCOUNT

    def _new(self, rig: Rig, entity: EntityType) -> Entity:
        return rig.new_account(next(_numbers)) if entity is ACCOUNT else rig.new_order(next(_numbers))

    def _entered(self, rig: Rig, entity: EntityType, action: Action) -> Saved:
        """A change of the CRM that goes out as this action: what comes before it is there already."""
        saved = rig.save(self._new(rig, entity))
        if action is Action.CREATE:
            return saved
        rig.push(wait_seconds=0)
        there = rig.get(saved)
        if action is Action.CANCEL:
            return rig.save(there.model_copy(update={"status": "cancelled"}))
        return rig.save(rig.edited(there, next(_numbers)))


def _timing_under(fault: str | None, rehearsal: Rehearsal) -> dict[str, Any]:
    """Settings for a test of one fault. Where it is no late answer, nothing comes after the connection is gone: it has
    settled at once, and a longer time-out keeps a machine that is busy from being taken for a second fault."""
    timing, seconds = timing_of(rehearsal), rehearsal.answer_seconds
    if fault is None or faults_of_writes(seconds)[fault].latency_ms:
        return timing
    return {**timing, "timeout_seconds": _NEVER_LATE * seconds, "settle_seconds": seconds / 2}


class _OnceLost(SilentPushListener):
    """Sets another plan as soon as the answer to a write is known to be lost, before it is looked up."""

    def __init__(self, http: LoopbackServer, plan: Plan) -> None:
        self._http, self._plan, self._is_set = http, plan, False

    def progressed(self, report: PushReport, waiting: int) -> None:
        if not self._is_set and report.total("lost"):
            self._http.set_plan(self._plan)
            self._is_set = True


def _pushed_under(rig: Rig, plan: Plan, *, wait_seconds: float = 30.0) -> bool:
    """Push while the plan holds, then once more; whether anything was hit."""
    http = rig.rehearsal.http
    http.set_plan(plan)
    rig.push(wait_seconds=wait_seconds)
    was_hit = http.disturbed > 0
    http.set_plan([])
    return was_hit


def _assert_clean(rig: Rig, before: Books, what: str = "") -> None:
    found: Audit = audit(rig.hub, rig.rehearsal, before)
    assert found.is_clean, "\n".join([what, *found.faults])
    assert found.written > 0
    assert rig.rehearsal.http.crashes == []


def _die(rig: Rig, moment: str) -> None:
    process = worker.start(rig.hub.settings.file, moment)
    try:
        code = process.wait(_DEATH_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert code == -signal.SIGKILL, f"it was to be killed when an intent is {moment}, and ended with {code}"
