"""An initial load: hours of reading that a failure in the middle must not cost."""

from __future__ import annotations

import pytest

from bench.fleet_rig import Rig
from crm_core.errors import ConfigurationFault, ServiceUnavailable
from crm_core.ids import EntityType
from simulators.faults import Fault, FaultKind, Rule, always
from sync_jobs.bootstrap import open_hub
from sync_jobs.jobs.backfill import Step, backfill

PRODUCT, ACCOUNT, ORDER = EntityType.PRODUCT, EntityType.ACCOUNT, EntityType.ORDER
ALL = '[jobs.all]\nconnection = "erp"\n'


def in_short(steps: list[Step]) -> list[tuple[EntityType, str, int]]:
    return [(step.entity, step.state, step.read) for step in steps]


def paths(rig: Rig) -> list[str]:
    return [one.path for one in rig.erp.http.log if one.method == "GET"]


def test_everything_comes_in_the_order_that_the_records_need(rig: Rig) -> None:
    rig.write(ALL)
    steps = backfill(open_hub(rig.file), "all")
    assert in_short(steps) == [(PRODUCT, "done", 12), (ACCOUNT, "done", 6), (ORDER, "done", 6)]
    assert list(dict.fromkeys(paths(rig))) == ["/v1/products", "/v1/customers", "/v1/orders"]


def test_a_step_that_fails_leaves_the_others_and_only_it_is_made_again(rig: Rig) -> None:
    """One list that the back office refuses must not keep the rest from coming in, nor be paid for twice."""
    rig.write(ALL)
    hub = open_hub(rig.file)
    rig.erp.http.set_plan([always(Fault(FaultKind.HTML), path="/v1/customers")])
    steps = backfill(hub, "all")
    assert in_short(steps) == [(PRODUCT, "done", 12), (ACCOUNT, "failed", 0), (ORDER, "done", 6)]
    assert steps[1].message is not None
    rig.erp.http.set_plan([])
    before = len(paths(rig))
    assert [step.state for step in backfill(hub, "all")] == ["done"] * 3
    assert set(paths(rig)[before:]) == {"/v1/customers"}


def test_a_back_office_that_goes_away_ends_it_and_the_next_call_goes_on_in_the_middle(rig: Rig) -> None:
    rig.add_products(8)
    rig.write(ALL)
    hub = open_hub(rig.file)
    asked = 0

    def cut(steps: object) -> None:
        nonlocal asked
        asked += 1

    rig.erp.http.set_plan([Rule(Fault(FaultKind.STATUS, status=503), path="/v1/products", nth=4, times=None)])
    with pytest.raises(ServiceUnavailable):
        backfill(hub, "all", told=cut)
    assert asked == 3, "told of the steps, of the first that began, and of its failure"
    rig.erp.http.set_plan([])
    stored = len(rig.external_ids())
    assert stored == 6
    before = len(paths(rig))
    steps = backfill(hub, "all")
    assert [step.state for step in steps] == ["done"] * 3
    rig.assert_all_here()
    assert paths(rig)[before:].count("/v1/products") == 7, "ten pages, less the three that were stored"


def test_what_is_done_is_read_again_only_when_it_is_asked_for(rig: Rig) -> None:
    rig.write(ALL)
    hub = open_hub(rig.file)
    backfill(hub, "all")
    before = len(paths(rig))
    backfill(hub, "all")
    assert len(paths(rig)) == before
    backfill(hub, "all", entities=[ACCOUNT], again=True)
    assert set(paths(rig)[before:]) == {"/v1/customers"}


def test_an_entity_that_is_not_the_jobs_is_refused(rig: Rig) -> None:
    rig.write('[jobs.goods]\nconnection = "erp"\nentities = ["product"]\n')
    with pytest.raises(ConfigurationFault, match="job 'goods' does not pull order; it pulls product"):
        backfill(open_hub(rig.file), "goods", entities=[ORDER])
    assert rig.count("backfill_steps") == 0
