"""`counterfoil run`: everything in one process, which may be stopped, killed and started again at any moment."""

from __future__ import annotations

import signal
import threading

import pytest

from bench.fleet_rig import Rig
from crm_core.errors import LeaseUnavailable
from crm_core.ids import EntityType
from crm_core.store import leases
from simulators.faults import Fault, FaultKind, always
from sync_jobs import operations
from sync_jobs.jobs import verbs
from sync_jobs.jobs.engines import EMBEDDED, run_embedded

GOODS = '[jobs.goods]\nconnection = "erp"\nentities = ["product"]\nevery = "1h"\n'


def pages_asked(rig: Rig) -> int:
    return sum(one.path == "/v1/products" for one in rig.erp.http.log)


def test_a_killed_process_is_followed_by_one_that_goes_on_in_the_middle(sqlite_rig: Rig) -> None:
    """A catalogue that is begun anew after each crash never comes to its end."""
    rig = sqlite_rig
    rig.erp.http.latency_ms = 60
    rig.add_products(28)
    rig.write(GOODS)
    first = rig.start("run")
    rig.until(lambda: pages_asked(rig) >= 6)
    first.kill()
    first.wait()
    stored = len(rig.external_ids())
    assert 0 < stored < 40
    before = pages_asked(rig)
    second = rig.start("run")
    rig.until(lambda: rig.state("goods").outcome == "done")
    rig.assert_all_here()
    assert pages_asked(rig) - before <= (40 - stored) // 2 + 3, "what was stored is not read again"
    assert [(run.status, run.report["product"]["resumed"]) for run in rig.runs("goods")] == [
        ("interrupted", False),
        ("succeeded", True),
    ]
    second.send_signal(signal.SIGTERM)
    assert second.wait(20) == 0


def test_a_stop_keeps_the_checkpoint_and_the_next_process_goes_on(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.erp.http.latency_ms = 60
    rig.add_products(28)
    rig.write(GOODS)
    first = rig.start("run")
    rig.until(lambda: pages_asked(rig) >= 5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0, rig.told()
    assert (rig.state("goods").state, rig.state("goods").outcome) == ("wanted", "stopped")
    assert [run.status for run in rig.runs("goods")] == ["interrupted"]
    rig.start("run")
    rig.until(lambda: rig.state("goods").outcome == "done")
    rig.assert_all_here()
    assert rig.runs("goods")[-1].report["product"]["resumed"] is True


def test_a_stop_does_not_wait_for_a_back_office_that_hangs(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.write(GOODS, timeout_seconds=60)
    rig.erp.http.set_plan([always(Fault(FaultKind.LATENCY, latency_ms=30_000), path="/v1/products")])
    process = rig.start("run")
    rig.until(lambda: rig.runs("goods"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, rig.told()
    assert rig.state("goods").state == "wanted"


def test_a_second_process_on_one_file_refuses_and_follows_when_the_first_is_gone(sqlite_rig: Rig) -> None:
    """Two that both pull everything would double the load, and wait for each other's locks."""
    rig = sqlite_rig
    rig.write(GOODS)
    first = rig.start("run")

    def is_at_work() -> bool:
        with rig.session() as session:
            return leases.is_leased(session, EMBEDDED, rig.house().clock())

    rig.until(is_at_work)
    second = rig.start("run")
    assert second.wait(30) == LeaseUnavailable.exit_code
    assert "another `counterfoil run` works on this database; one does all of it" in rig.told()
    first.kill()
    first.wait()
    assert rig.start("run").poll() is None
    rig.until(lambda: rig.state("goods").outcome == "done")


def run_until(rig: Rig, condition: object) -> None:
    """The engine in this process, until something has come about."""
    stop = threading.Event()
    engine = threading.Thread(target=run_embedded, args=(rig.house(), stop))
    engine.start()
    try:
        rig.until(condition)  # type: ignore[arg-type]
    finally:
        stop.set()
        engine.join(30)
    assert not engine.is_alive()


def test_a_job_that_is_wrong_says_so_and_the_others_go_on(sqlite_rig: Rig) -> None:
    """One slip of an integrator must not stop every customer's stock."""
    rig = sqlite_rig
    wrong = (
        '[jobs.never]\nconnection = "erp"\nschedule = "0 0 31 2 * UTC"\n'
        '[jobs.gone]\nconnection = "epr"\nevery = "1h"\n'
        '[jobs.short]\nconnection = "erp"\nevery = "1h"\ntime_limit = "2s"\n'
    )
    (rig.folder / "account.yaml").write_text("entity: account\nconnector: acme\nfields: {nam: name}\n")
    rig.write(GOODS + wrong + '[jobs.people]\nconnection = "erp"\nentities = ["account"]\nevery = "1h"\n')
    text = rig.file.read_text()
    start = text.index('account = "')
    rig.file.write_text(text[:start] + 'account = "account.yaml"\n' + text[text.index("\n", start) + 1 :])
    run_until(rig, lambda: rig.count("job_states") >= 2 and rig.state("people").outcome and rig.state("goods").outcome)
    rig.assert_all_here()
    assert rig.state("goods").outcome == "done"
    assert rig.state("people").outcome == "failed"
    assert "account.yaml:1: account needs a rule for" in (rig.state("people").message or "")
    with rig.session() as session:
        hub = rig.house().hub(session)
    faults = {one.name: one.fault for one in verbs.list_jobs(hub) if one.fault}
    assert set(faults) == {"never", "gone", "short"}
    assert "never comes: no month 2 has a day 31" in str(faults["never"])
    assert "there is no connection 'epr'; did you mean 'erp'?" in str(faults["gone"])
    assert "time_limit 2s is shorter than a page may take (timeout_seconds of connection 'erp': 5)" in str(
        faults["short"]
    )


def test_a_file_that_breaks_while_jobs_run_leaves_them_as_they_were(
    sqlite_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig = sqlite_rig
    rig.write(GOODS.replace("1h", "1s"))
    house = rig.house()
    with rig.session() as session:
        assert "goods" in house.hub(session).settings.jobs
        rig.file.write_text("[connections.erp\n")
        assert "goods" in house.hub(session).settings.jobs
        assert "goods" in house.hub(session).settings.jobs
    assert caplog.text.count("what was read before stays in force") == 1


def test_a_change_of_the_crm_goes_out_by_itself(sqlite_rig: Rig) -> None:
    """on_change: an order must not wait for somebody to call `push`."""
    from crm_core.model.account import Account
    from sync_jobs.changes import changing

    rig = sqlite_rig
    rig.write('[jobs.out]\nwhat = "push"\nconnection = "erp"\non_change = true\n', push='["account"]')
    with rig.session() as session:
        hub = rig.house().hub(session)
    before = rig.erp.ids("account")
    with changing(hub) as save:
        save(Account(code="C-77", name="New customer"))
    run_until(rig, lambda: len(rig.erp.ids("account") - before) == 1 and rig.state("out").state == "idle")
    runs = rig.runs("erp")
    assert [run.kind for run in runs] == ["push"] * len(runs)
    assert len(runs) <= 2, "what is done stirs nothing up again"


def test_both_sides_are_compared_by_a_job(sqlite_rig: Rig) -> None:
    """A comparison that nobody remembers to start finds nothing."""
    rig = sqlite_rig
    rig.write('[jobs.compare]\nwhat = "reconcile"\nconnection = "erp"\nevery = "1h"\n')
    with rig.session() as session:
        operations.pull(rig.house().hub(session), "compare")
        session.run("UPDATE accounts SET name = 'altered here' WHERE id = (SELECT min(id) FROM accounts)")
    run_until(rig, lambda: rig.count("job_states") and rig.state("compare").outcome)
    assert [run.kind for run in rig.runs("compare")] == ["pull", "reconcile"]
    with rig.session() as session:
        rows = session.all("SELECT s.entity, d.field FROM drifts d JOIN streams s ON s.id = d.stream_id")
    assert [tuple(row) for row in rows] == [("account", "name")]


def test_the_credit_of_open_orders_is_refused_for_a_connector_without_credit(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    rig.write('[jobs.credit]\nwhat = "credit"\nconnection = "erp"\nevery = "1h"\n')
    run_until(rig, lambda: rig.count("job_states") and rig.state("credit").outcome)
    assert rig.state("credit").outcome == "failed"
    assert "connector 'acme' has no stream 'credit'" in (rig.state("credit").message or "")
    assert rig.external_ids(EntityType.CREDIT) == []
