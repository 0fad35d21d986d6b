"""The real Tryton server that the demo and the real suite stand on: it starts, answers, resets and leaves nothing."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulators.tryton_server.environment import DATABASE, TrytonServerError, ensure_environment
from simulators.tryton_server.server import TrytonServer, ensure_seed

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]  # the first run installs Tryton and seeds its database

HOME = Path(os.environ.get("COUNTERFOIL_TRYTON_HOME") or Path(__file__).resolve().parents[2] / ".tryton")
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server() -> Iterator[TrytonServer]:
    with TrytonServer(HOME) as running:
        yield running


@pytest.fixture(scope="module")
def changed(server: TrytonServer) -> dict[str, Any]:
    """What the second act did, before a reset undid it."""
    told = server.change()
    pid = server.pid
    server.reset()
    assert not _is_running(pid)
    return told


@pytest.fixture(scope="module")
def truth(server: TrytonServer, changed: dict[str, Any]) -> dict[str, Any]:
    """The demo company after the second act and the reset: asked for once, since the witness takes its time."""
    return server.truth()


def _ask(server: TrytonServer, path: str, method: str, *params: object) -> Any:
    question = json.dumps({"id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    request = urllib.request.Request(f"{server.url}{path}", question, headers)
    with _DIRECT.open(request, timeout=20) as response:
        return json.load(response)["result"]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_answers_on_loopback_and_signs_the_hub_in(server: TrytonServer) -> None:
    """Without this no Tryton test and no demo can say anything about a real ERP."""
    assert server.url.startswith("http://127.0.0.1:")
    assert _ask(server, "/rpc/", "common.db.list") == [DATABASE]
    user_id, token, _ = _ask(
        server, f"/{server.database}/rpc/", "common.db.login", server.user, {"password": server.password}, "en"
    )
    assert user_id > 0
    assert len(token) >= 32


def test_the_witness_reads_the_demo_company(truth: dict[str, Any]) -> None:
    """The comparison at the end of the demo would compare nothing if the witness came back empty or in floats."""
    assert len(truth["products"]) == 38
    assert truth["products"]["OLD-001"]["active"] is False
    assert truth["products"]["FAS-011"]["names"] == {"en": "Wall plug 8 mm", "de": "Dübel 8 mm"}
    assert truth["units"]["Box of 12"]["factor"] == "12.0"
    assert truth["stock"]["MAIN"]["BLK-002"]["quantity"] == "83.4"
    assert truth["stock"]["MAIN"]["TOO-009"] == {"quantity": "0.0", "forecast": "25.0"}
    assert {row["quantity"] for row in truth["stock"]["OVER"].values()} == {"0.0"}
    limits = {code: truth["customers"][code]["credit_limit"] for code in ("CUST-001", "CUST-005", "CUST-006")}
    assert limits["CUST-006"] is None, "no limit must not look like a number"
    assert (Decimal(limits["CUST-001"]), Decimal(limits["CUST-005"])) == (Decimal(0), Decimal("75000.50"))
    assert {row["state"] for row in truth["invoices"].values()} == {"posted", "paid"}
    partly_paid = next(row for row in truth["invoices"].values() if row["customer"] == "CUST-008")
    assert (partly_paid["total"], partly_paid["amount_to_pay"]) == ("302.40", "181.44")
    assert truth["customers"]["CUST-015"]["active"] is False
    assert {row["state"] for row in truth["sales"].values()} == {"draft", "quotation", "processing", "cancelled"}


def test_the_witness_lets_tryton_compute_prices(truth: dict[str, Any]) -> None:
    """A connector that resolves formulas itself needs Tryton's own answer to be measured against."""
    prices = {
        (row["price_list"], row["product"], row["quantity"], row["unit"]): row["unit_price"] for row in truth["prices"]
    }

    assert prices["Wholesale", "TOO-001", "1.0", "Unit"] == "139.0000"
    assert prices["Wholesale", "TOO-001", "10.0", "Unit"] == "111.7500"
    assert prices["Wholesale", "FAS-001", "1.0", "Box of 12"] == "1.2960", "twelve pieces reach the break at ten"
    assert prices["Cost plus", "FAS-008", "100.0", "Unit"] == "0.0080", "0.00805 goes to the even digit"
    assert prices["Tools only", "SRV-001", "1.0", "Hour"] is None, "no line of the list matches"


def test_the_second_act_changes_tryton_and_a_reset_undoes_it(changed: dict[str, Any], truth: dict[str, Any]) -> None:
    """The demo shows exactly these four changes; tests that come after must not see them."""
    assert changed["price"] == {"product": "TOO-003", "before": "89.00", "after": "93.50"}
    assert changed["stock"]["before"] == {"MAIN": "65.0", "NORTH": "15.0", "OVER": "0.0"}
    assert changed["stock"]["after"] == {"MAIN": "40.0", "NORTH": "40.0", "OVER": "0.0"}
    assert changed["invoice"]["state"] == "posted"
    assert changed["invoice"]["total"] == "407.76"
    assert changed["deactivated"] == {"product": "TOO-006", "before": True, "after": False}
    assert truth["products"]["TOO-003"]["list_price"] == "89.00"
    assert truth["products"]["TOO-006"]["active"] is True
    assert changed["invoice"]["invoice"] not in truth["invoices"]


def test_a_failing_script_says_what_its_last_lines_were(server: TrytonServer, tmp_path: Path) -> None:
    """A swallowed failure would let the demo go on with a half-made story."""
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('the seed lacks a fiscal year')")
    with pytest.raises(TrytonServerError, match=r"broken\.py failed with exit code 1:\nthe seed lacks a fiscal year"):
        server.run_script(script)


def test_stop_ends_the_process_and_removes_the_scratch_folder() -> None:
    """A server left behind would hold its port and its memory for ever."""
    with TrytonServer(HOME) as running:
        pid, log = running.pid, running.log_path
        assert _is_running(pid)
        assert log.exists()
    assert not _is_running(pid)
    assert not log.parent.exists()
    running.stop()  # a second stop is harmless


def test_an_error_inside_the_block_still_ends_the_server() -> None:
    pid = 0
    with pytest.raises(RuntimeError, match="in the middle"), TrytonServer(HOME) as running:
        pid = running.pid
        raise RuntimeError("in the middle")
    assert pid
    assert not _is_running(pid)


def test_the_server_ends_when_the_pipe_to_its_parent_closes() -> None:
    """kill -9 of the demo gives nobody the chance to stop the server: it has to notice by itself."""
    with TrytonServer(HOME) as running:
        process = running._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_environment_and_seed_are_made_once() -> None:
    """Making them takes about a minute; every later start must find them."""
    python, seed = ensure_environment(HOME), ensure_seed(HOME)
    made = (python.lstat().st_mtime_ns, seed.stat().st_mtime_ns, seed.stat().st_ino)
    assert (ensure_environment(HOME), ensure_seed(HOME)) == (python, seed)
    assert (python.lstat().st_mtime_ns, seed.stat().st_mtime_ns, seed.stat().st_ino) == made
