"""`counterfoil serve` and `counterfoil keys` as processes and commands."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from cli import main

ROOT = Path(__file__).resolve().parents[2]
COUNTERFOIL = [sys.executable, "-m", "cli"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub without connections."""
    (tmp_path / "counterfoil.toml").write_text("[http]\nport = 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COUNTERFOIL_CONFIG", raising=False)
    monkeypatch.delenv("COUNTERFOIL_LOG", raising=False)
    return tmp_path


def run(*arguments: str, expect: int = 0) -> Any:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == expect, result.output
    return result


def started(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*COUNTERFOIL, *options, "serve", "--port", "0"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
    if found is None:
        process.kill()
        raise AssertionError(line + process.communicate()[1])
    return process, found[1]


def test_serve_tells_its_address_answers_and_ends_when_it_is_told_to(folder: Path) -> None:
    """A service manager could neither find it nor stop it."""
    key = json.loads(run("keys", "create", "Anna", "--scope", "operations", "--json").stdout)["key"]
    process, url = started(folder, "--log", "text")
    try:
        assert requests.get(f"{url}/readyz", timeout=20).json() == {"status": "ok"}
        assert requests.get(f"{url}/runs", timeout=20).status_code == 401
        answer = requests.get(f"{url}/runs?job={key}", headers={"authorization": f"Bearer {key}"}, timeout=20)
        assert (answer.status_code, answer.json()) == (200, {"runs": [], "next_before": None})
        requests.get(f"{url}/runs", headers={"authorization": f"Bearer {key}x"}, timeout=20)
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM)
    assert "event='request_answered' method='GET' route='/runs' status=200" in errors
    assert key not in output + errors
    assert key.rpartition("_")[2] not in output + errors
    assert "Traceback" not in errors


def test_an_address_that_is_taken_or_open_to_all_is_said_in_one_line(folder: Path) -> None:
    """A traceback would be all that is left of a start that failed."""
    process, url = started(folder)
    try:
        port = url.rpartition(":")[2]
        refused = run("serve", "--port", port, expect=2).stderr
        assert f"127.0.0.1:{port} cannot be listened to" in refused
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert (
        "can be reached from elsewhere, and there is no key yet" in run("serve", "--host", "0.0.0.0", expect=2).stderr
    )


def test_keys_are_made_listed_and_revoked(folder: Path) -> None:
    """Nobody could be let in, or kept out again."""
    made = run("keys", "create", "Anna", "--scope", "sales.read", "--scope", "orders.write")
    assert re.fullmatch(r"cfk_[0-9A-Z]{8}_[\w-]{43}\n", made.stdout)
    key_id = made.stdout.split("_")[1]
    assert f"key {key_id} of Anna: orders.write, sales.read. It is not shown again." in made.stderr
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    assert (listed["id"], listed["name"], listed["scopes"]) == (key_id, "Anna", ["orders.write", "sales.read"])
    assert made.stdout.strip() not in run("keys", "list").stdout
    assert run("keys", "revoke", key_id).stdout == f"revoked {key_id} of Anna\n"
    (listed,) = json.loads(run("keys", "list", "--json").stdout)
    assert listed["revoked_at"] is not None
    assert "there is no key NOBODY" in run("keys", "revoke", "NOBODY", expect=74).stderr
    assert "did you mean 'sales.read'?" in run("keys", "create", "Bo", "--scope", "sale.read", expect=2).stderr
    assert "say whose key it is" in run("keys", "create", " ", "--scope", "admin", expect=2).stderr


def test_help_does_not_wait_for_the_web(folder: Path) -> None:
    """Every call of the command would take a second longer."""
    code = "import sys, cli; print([n for n in ('fastapi', 'uvicorn', 'starlette', 'jwt') if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
    assert time.monotonic() - begin < 30
