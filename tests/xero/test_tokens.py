"""Xero's refresh tokens: each is good for one refresh, so all workers of a connection share the newest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.config import XeroConfig
from connectors.accounting.xero.connector import Xero
from crm_core.errors import AuthenticationFailed
from crm_core.ids import EntityType
from simulators.clock import ManualClock
from simulators.faults import Fault, FaultKind, Rule
from tests.xero.conftest import START, Simulator, config_of, ids, settings

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "/connect/token"
HALF_AN_HOUR = 1800


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture(params=[0, HALF_AN_HOUR], ids=["strict", "with grace"])
def simulator(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[Simulator]:
    made = settings(grace_seconds=request.param)
    with Simulator.seeded(items=3, customers=11, suppliers=0, documents=0, clock=clock, settings=made) as running:
        yield running
        assert running.http.crashes == []


@pytest.fixture
def config(simulator: Simulator, tmp_path: Path) -> XeroConfig:
    return config_of(simulator, refresh_token=simulator.settings.refresh_token, token_file=tmp_path / "xero.tokens")


def opened(config: XeroConfig, clock: ManualClock) -> XeroClient:
    return XeroClient(config, clock=clock, sleep=lambda _: None)


def ask(client: XeroClient) -> int:
    try:
        return client.get("Organisation", operation="GET Organisation").status
    finally:
        client.close()


def test_many_workers_refresh_once(simulator: Simulator, config: XeroConfig, clock: ManualClock) -> None:
    """A second refresh would use the token up behind the first one's back. At the start, and each half hour."""
    for begun in (1, 2, 3):
        clients = [opened(config, clock) for _ in range(12)]
        with ThreadPoolExecutor(len(clients)) as pool:
            assert list(pool.map(ask, clients)) == [200] * 12
        assert simulator.tokens.refreshes == begun
        clock.advance(HALF_AN_HOUR)


PROGRAM = """
import sys
from connectors.accounting.xero.client import XeroClient
from connectors.accounting.xero.config import XeroConfig
config = XeroConfig.model_validate_json(sys.stdin.readline())
print("ready", flush=True)
sys.stdin.readline()
client = XeroClient(config)
client.get("Organisation", operation="GET Organisation")
client.close()
"""


def test_two_processes_at_once_refresh_once(tmp_path: Path) -> None:
    """Two workers, or a pull and a push from cron, in the same second."""
    with Simulator.seeded(
        items=1, customers=1, suppliers=0, documents=0, settings=settings(grace_seconds=0)
    ) as simulator:
        options = {
            "client_id": simulator.settings.client_id,
            "client_secret": simulator.settings.client_secret,
            "refresh_token": simulator.settings.refresh_token,
            "token_file": str(tmp_path / "xero.tokens"),
            "tenant": simulator.organisation.tenant_id,
            "base_url": simulator.url,
            "token_url": simulator.token_url,
        }
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
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(options) + "\n")
            worker.stdin.flush()
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        for worker in workers:
            _, said = worker.communicate(timeout=20)
            assert worker.returncode == 0, said
        assert simulator.tokens.refreshes == 1
        assert [entry.status for entry in simulator.log].count(200) == 3


def test_a_read_that_outlives_its_token_goes_on(simulator: Simulator, config: XeroConfig, clock: ManualClock) -> None:
    """The token ends while a page is stored; or it is taken away, and Xero says 401."""
    connection = Xero(config)
    connection._client.close()
    connection._client = opened(config, clock)
    pages = connection.stream(EntityType.ACCOUNT).pages(None)
    seen = [next(pages)]
    clock.advance(HALF_AN_HOUR)
    seen.append(next(pages))
    simulator.revoke_access()
    assert len(ids([*seen, *pages])) == 11
    assert simulator.tokens.refreshes == 3
    connection._client.close()


def test_a_token_lasts_sixty_days_and_each_use_begins_them_anew(
    simulator: Simulator, config: XeroConfig, clock: ManualClock
) -> None:
    """A connection that is used once a month stays; one that nobody used for two months has to be authorised again."""
    for _ in range(4):
        assert ask(opened(config, clock)) == 200
        clock.advance(45 * 86_400)
    clock.advance(16 * 86_400)
    with pytest.raises(AuthenticationFailed, match="authorise the connection again"):
        ask(opened(config, clock))


def test_a_revoked_connection_is_said_so_and_not_tried_again(
    simulator: Simulator, config: XeroConfig, clock: ManualClock
) -> None:
    """Somebody has disconnected the app in Xero. Neither token is in the text."""
    assert ask(opened(config, clock)) == 200
    simulator.tokens.revoke_all()
    before = len(simulator.log)
    with pytest.raises(AuthenticationFailed, match=r"invalid_grant.*authorise the connection again") as told:
        ask(opened(config, clock))
    assert simulator.settings.refresh_token not in str(told.value)
    assert [entry.path for entry in list(simulator.log)[before:]][-1] == TOKEN
    assert [entry.path for entry in list(simulator.log)[before:]].count(TOKEN) == 1


def test_a_connection_that_was_authorised_again_works_at_once(
    simulator: Simulator, config: XeroConfig, clock: ManualClock
) -> None:
    """The new refresh token goes into the settings; the file of the old ones need not be taken away by hand."""
    assert ask(opened(config, clock)) == 200
    simulator.tokens.revoke_all()
    simulator.tokens.authorise("another-beginning", clock())
    again = config.model_copy(update={"refresh_token": type(config.client_secret)("another-beginning")})
    assert ask(opened(again, clock)) == 200
    assert ask(opened(again, clock)) == 200


def test_a_refresh_whose_answer_was_lost_is_made_again_while_xero_has_grace(
    simulator: Simulator, config: XeroConfig, clock: ManualClock
) -> None:
    """The old token was used up and the new one never came. Within half an hour Xero gives it once more; had it no such
    grace, a person would have to authorise again, and is told."""
    simulator.set_plan([Rule(Fault(FaultKind.CUT_AFTER), path=TOKEN)])
    if simulator.settings.grace_seconds:
        assert ask(opened(config, clock)) == 200
        assert simulator.tokens.refreshes == 2
    else:
        with pytest.raises(AuthenticationFailed, match="authorise the connection again"):
            ask(opened(config, clock))


def test_an_app_without_a_secret_refreshes_too(clock: ManualClock, tmp_path: Path) -> None:
    """With PKCE the app on a desktop has none; the client is named in the form."""
    made = settings(client_secret="")
    with Simulator.seeded(items=1, customers=1, suppliers=0, documents=0, clock=clock, settings=made) as simulator:
        config = config_of(
            simulator, client_secret=None, refresh_token=made.refresh_token, token_file=tmp_path / "tokens"
        )
        assert ask(opened(config, clock)) == 200
