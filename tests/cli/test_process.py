"""The command as a process: what a shell, a scheduler and Ctrl-C meet."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crm_core import errors

ROOT = Path(__file__).resolve().parents[2]
OFFICE = """
import os, sys, time
from decimal import Decimal
from connectors import registry
registry.BUILT_IN = {**registry.BUILT_IN, "memory": "tests.cli.office:Office"}
from tests.cli.office import Office, PRODUCT, MemorySource

class Slow(MemorySource):
    def _page(self, keys, served, watermark, resume):
        if served == 5:  # two pages wait and one is being stored: the first two are stored
            print("READY", flush=True)
            time.sleep(float(os.environ["SLOW_SECONDS"]))
        return super()._page(keys, served, watermark, resume)

source = (Slow if "--slow" in sys.argv else MemorySource)(page_size=10)
sys.argv = [argument for argument in sys.argv if argument != "--slow"]
for number in range(100):
    source.put(f"{number:03}", code=f"W-{number}", name="Widget", price=Decimal("9.50"), active=True)
Office.sources[PRODUCT] = source
from cli import main
main(prog_name="counterfoil")
"""
SETTINGS = """
[connections.erp]
connector = "memory"
url = "memory:"
password = "${OFFICE_PASSWORD}"
[connections.erp.mappings]
product = "product.yaml"
[jobs.all]
connection = "erp"
entities = ["product"]
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COUNTERFOIL_", "PYTHON"))}
    return {**kept, "PYTHONPATH": str(ROOT), "OFFICE_PASSWORD": "s3cret", **more}


def command(*arguments: str, folder: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "cli"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=folder, env=environment(), capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    from tests.support.workbench import PRODUCT

    (tmp_path / "product.yaml").write_text(PRODUCT)
    (tmp_path / "counterfoil.toml").write_text(SETTINGS)
    return tmp_path


def test_help_and_usage_faults(tmp_path: Path) -> None:
    shown = command("--help", folder=tmp_path)
    assert shown.returncode == 0
    for word in ("pull", "show", "dead-letters", "mapping", "doctor", "demo"):
        assert re.search(rf"^  {word} ", shown.stdout, re.MULTILINE)
    assert command("pul", folder=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def imported(
    *arguments: str, folder: Path, code: str = "from cli import main; main(prog_name='counterfoil')"
) -> set[str]:
    """The top-level modules that a call imports."""
    watch = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr))\n"
    )
    made = command(*arguments, folder=folder, code=watch + code)
    assert made.returncode == 0, made.stderr
    return set(re.findall(r"'([^']+)'", made.stderr.splitlines()[-1]))


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    assert not imported("--help", folder=tmp_path) & {
        "rich",
        "sqlalchemy",
        "pydantic",
        "requests",
        "zeep",
        "structlog",
        "lxml",
    }


def test_a_pull_without_a_terminal_waits_for_no_library_that_it_does_not_need(folder: Path) -> None:
    assert command("pull", folder=folder, code=OFFICE).returncode == 0
    heavy = {"rich", "sqlalchemy", "structlog", "alembic", "zeep"}
    assert not imported("pull", folder=folder, code=OFFICE) & heavy


def test_a_pipe_gets_json_and_nothing_else(folder: Path) -> None:
    made = command("pull", "--json", folder=folder, code=OFFICE)
    assert json.loads(made.stdout)["entities"]["product"]["created"] == 100
    assert made.stderr == ""
    listed = command("show", "products", "--limit", "1000", "--json", folder=folder, code=OFFICE)
    assert len(json.loads(listed.stdout)) == 100
    table = command("show", "products", "--limit", "1000", folder=folder, code=OFFICE)
    assert "\x1b" not in table.stdout
    assert len(table.stdout.splitlines()) == 102


def interrupted(folder: Path, number: signal.Signals, *, slow_seconds: float) -> tuple[int, str]:
    """Stop a pull that has stored at least two pages of ten; returns its exit code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-c", OFFICE, "pull", "--slow"],
        cwd=folder,
        env=environment(SLOW_SECONDS=str(slow_seconds)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in its background has them ignore Ctrl-C, and they would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n"
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=10)
    return process.returncode, told


def test_a_killed_pull_goes_on_where_it_was(folder: Path) -> None:
    assert interrupted(folder, signal.SIGKILL, slow_seconds=60)[0] == -signal.SIGKILL
    made = command("pull", "--json", folder=folder, code=OFFICE)
    report = json.loads(made.stdout)["entities"]["product"]
    assert report["resumed"] is True
    listed = command("show", "products", "--limit", "1000", "--json", folder=folder, code=OFFICE)
    assert sorted(one["code"] for one in json.loads(listed.stdout)) == sorted(f"W-{n}" for n in range(100))
    states = [run["status"] for run in json.loads(command("runs", "--json", folder=folder, code=OFFICE).stdout)]
    assert states == ["succeeded", "interrupted"]


def test_ctrl_c_ends_a_pull_between_two_pages(folder: Path) -> None:
    # a call that is being answered is waited for, so the answer comes soon here
    code, told = interrupted(folder, signal.SIGINT, slow_seconds=4)
    assert code == 130
    assert told.splitlines()[-1] == "stopped; the checkpoint is kept"
    listed = command("show", "products", "--limit", "1000", "--json", folder=folder, code=OFFICE)
    assert len(json.loads(listed.stdout)) in (20, 30, 40, 50)
    assert json.loads(command("pull", "--json", folder=folder, code=OFFICE).stdout)["status"] == "succeeded"


TRADING = """
import sys
from pathlib import Path
from connectors import registry
registry.BUILT_IN = {**registry.BUILT_IN, "ledger": "tests.cli.push_office:LedgerOffice"}
from tests.cli.push_office import TradingOffice
from tests.support.journal_office import JournalOffice
TradingOffice.books["memory:books"] = JournalOffice(Path("books.jsonl"))
from cli import main
main(prog_name="counterfoil")
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A folder whose one connection pushes; its books are a file that outlives a process."""
    from tests.cli.office import SECRET
    from tests.cli.push_office import LEDGER, ORDER_LEDGER
    from tests.support.memory_office import ACCOUNT_OUT

    (tmp_path / "counterfoil.toml").write_text(LEDGER.format(password=SECRET))
    (tmp_path / "account-out.yaml").write_text(ACCOUNT_OUT)
    (tmp_path / "order-ledger.yaml").write_text(ORDER_LEDGER)
    return tmp_path


def test_what_is_entered_goes_out_once_however_often_it_is_pushed(ledger: Path) -> None:
    """Three processes, as cron starts them: one enters, two push at once, and the books have it once."""
    (ledger / "nine.yaml").write_text("{code: C-9, name: Nine}")
    entered = command("enter", "account", "nine.yaml", "--json", folder=ledger, code=TRADING)
    assert json.loads(entered.stdout)["queued"][0]["action"] == "create", entered.stderr
    start = [sys.executable, "-c", TRADING, "push", "--json"]
    pushes = [
        subprocess.Popen(start, cwd=ledger, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [push.communicate(timeout=60) for push in pushes]
    assert all(push.returncode in (0, 75) for push in pushes), told  # 75: the other one had it at that moment
    sent = [json.loads(out)["connections"][0]["sent"] for out, _ in told]
    assert sorted(sent) == [0, 1], told
    (line,) = (ledger / "books.jsonl").read_text().splitlines()
    assert json.loads(line)["values"]["name"] == "Nine"
    assert command("push", folder=ledger, code=TRADING).returncode == 0


def test_a_push_without_a_terminal_waits_for_no_library_that_it_does_not_need(ledger: Path) -> None:
    """Cron pushes every minute: half a second of imports is a share of the machine."""
    assert command("push", folder=ledger, code=TRADING).returncode == 0
    assert not imported("push", folder=ledger, code=TRADING) & {"rich", "sqlalchemy", "structlog", "alembic", "zeep"}


def test_every_error_class_has_its_exit_code_in_the_documentation() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    table = text.partition("## Exit codes")[2].partition("\n## ")[0]
    documented = {
        name: int(code)
        for code, names in re.findall(r"^\| (\d+) \| [^|]* \| ([^|]*) \|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    classes = {
        name: kind.exit_code
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.CounterfoilError)
    }
    assert documented == classes


def test_every_command_and_option_is_documented() -> None:
    import click

    from cli import main

    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")

    def walk(group: click.Group, prefix: str) -> list[tuple[str, click.Command]]:
        found = []
        for name, one in group.commands.items():
            full = f"{prefix} {name}".strip()
            found += walk(one, full) if isinstance(one, click.Group) else [(full, one)]
        return found

    for name, one in walk(main, ""):
        assert f"`counterfoil {name}" in text or f"### {name}" in text, name
        for parameter in one.params:
            for option in parameter.opts:
                assert not option.startswith("--") or f"`{option}" in text or f" {option}" in text, (name, option)
