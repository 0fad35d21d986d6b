"""QuickBooks' refresh tokens change with every use: each new one is kept, and all workers share the newest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.config import QuickBooksConfig
from crm_core.errors import AuthenticationFailed
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.quickbooks.conftest import START, Simulator, config_of, options_of, settings

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "/oauth2/v1/tokens/bearer"
AN_HOUR = 3600


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=[0, 86_400], ids=["strict", "with grace"])
def simulator(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Simulator]:
    made = settings(grace_seconds=request.param)
    with Simulator.seeded(items=1, customers=1, documents=0, clock=clock, settings=made) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def config(simulator: Simulator, tmp_path: Path) -> QuickBooksConfig:
    return config_of(simulator, tmp_path)


def ask(config: QuickBooksConfig, clock: ManualClock) -> str:
    client = QuickBooksClient(config, clock=clock, sleep=lambda _: None)
    try:
        return client.read_company().name
    finally:
        client.close()


def test_each_new_refresh_token_is_kept(simulator: Simulator, config: QuickBooksConfig, clock: ManualClock) -> None:
    """The configured one is used up at once: a run of tomorrow would be shut out."""
    kept = set()
    for begun in range(1, 5):
        assert ask(config, clock) == "Counterfoil Trading"
        assert simulator.tokens.refreshes == begun
        kept.add(json.loads(config.token_file.read_bytes())["refresh_token"])
        clock.advance(AN_HOUR)
    assert len(kept) == 4
    assert simulator.settings.refresh_token not in kept
    assert config.token_file.stat().st_mode & 0o777 == 0o600


def test_many_workers_refresh_once(simulator: Simulator, config: QuickBooksConfig, clock: ManualClock) -> None:
    """A second refresh would use the token up behind the first one's back."""
    for begun in (1, 2):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: ask(config, clock), range(8))) == {"Counterfoil Trading"}
        assert simulator.tokens.refreshes == begun
        clock.advance(AN_HOUR)


PROGRAM = """
import sys
from connectors.accounting.quickbooks.client import QuickBooksClient
from connectors.accounting.quickbooks.config import QuickBooksConfig
config = QuickBooksConfig.model_validate_json(sys.stdin.readline())
print("ready", flush=True)
sys.stdin.readline()
client = QuickBooksClient(config)
client.read_company()
client.close()
"""


def test_two_processes_at_once_refresh_once(tmp_path: Path) -> None:
    """Two workers, or a pull and a live question, in the same second."""
    with Simulator.seeded(items=1, customers=1, documents=0, settings=settings(grace_seconds=0)) as simulator:
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM],
                cwd=ROOT,
                env={"PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        try:
            for line in (json.dumps(options_of(simulator, tmp_path)) + "\n", "\n"):
                for worker in workers:
                    assert worker.stdin is not None
                    worker.stdin.write(line)
                    worker.stdin.flush()
                for worker in workers if line != "\n" else ():
                    assert worker.stdout is not None
                    assert worker.stdout.readline() == "ready\n"
            for worker in workers:
                _, said = worker.communicate(timeout=20)
                assert worker.returncode == 0, said
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        assert simulator.tokens.refreshes == 1


def test_a_connection_that_is_used_once_a_month_stays_and_one_left_alone_ends(
    simulator: Simulator, config: QuickBooksConfig, clock: ManualClock
) -> None:
    """A hundred days from each use."""
    for _ in range(4):
        ask(config, clock)
        clock.advance(90 * 86_400)
    clock.advance(11 * 86_400)
    with pytest.raises(AuthenticationFailed, match="authorise the connection again"):
        ask(config, clock)


def test_a_disconnected_app_is_said_so_and_works_again_when_a_person_connects_it(
    simulator: Simulator, config: QuickBooksConfig, clock: ManualClock
) -> None:
    """The new refresh token goes into the settings; the file of the old ones need not be taken away by hand."""
    ask(config, clock)
    simulator.revoke_all()
    before = len(simulator.log)
    with pytest.raises(AuthenticationFailed, match=r"invalid refresh token.*authorise the connection again") as told:
        ask(config, clock)
    assert [entry.path for entry in simulator.log[before:]].count(TOKEN) == 1
    assert simulator.settings.refresh_token not in str(told.value)
    simulator.tokens.authorise("another-beginning", clock())
    again = config.model_copy(update={"refresh_token": type(config.client_secret)("another-beginning")})
    assert ask(again, clock) == "Counterfoil Trading"
    clock.advance(AN_HOUR)
    assert ask(again, clock) == "Counterfoil Trading"


def test_a_refresh_whose_answer_was_lost_is_made_again_where_the_old_token_still_holds(
    simulator: Simulator, config: QuickBooksConfig, clock: ManualClock
) -> None:
    """The new token never came. Where the used one is answered once more, nobody has to do anything; where it is not,
    a person has to authorise again, and is told."""
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), path=TOKEN)])
    if simulator.settings.grace_seconds:
        assert ask(config, clock) == "Counterfoil Trading"
        assert simulator.tokens.refreshes == 2
    else:
        with pytest.raises(AuthenticationFailed, match="authorise the connection again"):
            ask(config, clock)
