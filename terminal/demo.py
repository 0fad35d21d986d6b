"""`counterfoil demo`: a real ERP is booted, pulled, changed, pulled again; a pull is killed and resumed; both sides are
compared value by value; an order is pushed over a wire that is cut; at the end the desk is open. It takes a few minutes
at most, leaves nothing running, and where there is no terminal it ends by itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from crm_core.ids import EntityType
from crm_core.store import repository
from crm_core.store.session import Session
from simulators.tryton_server.server import TrytonServer
from sync_jobs import operations
from sync_jobs.bootstrap import Hub, open_hub
from sync_jobs.decisions import Decision
from sync_jobs.report import Change
from terminal.demo_compare import Comparison, compare
from terminal.demo_desk import DeskFailed, show_desk
from terminal.demo_push import PushFailed, push_over_a_cut_wire
from terminal.entities import entity_table, labels_for
from terminal.progress import Bars, progress_bars
from terminal.reports import change_tables, report_table
from terminal.tables import draw

_CONFIG = """\
[store]
url = "sqlite:///counterfoil.sqlite"

[connections.erp]
connector = "tryton"
url = "{url}"
database = "{database}"
user = "{user}"
password = "${{COUNTERFOIL_DEMO_PASSWORD}}"
page_size = {page_size}
"""

_CHANGES_KEPT = 100_000
_KILL_AFTER_PAGES = 3
_KILL_WITHIN_SECONDS = 60


class DemoFailed(Exception):
    """Something was not as it must be; the demo ends with exit code 1."""


@dataclass
class Story:
    """Where the demo writes and where it works."""

    console: Console
    folder: Path
    server: TrytonServer
    started: float = field(default_factory=time.monotonic)

    def chapter(self, title: str) -> None:
        """A heading with the time since the start."""
        self.console.print()
        self.console.rule(f"[bold]{title}[/bold]  [dim]{time.monotonic() - self.started:.0f} s[/dim]", align="left")

    def hub(self, name: str, *, page_size: int = 1000) -> Hub:
        """A CRM of its own in the scratch folder, connected to the server."""
        folder = self.folder / name
        folder.mkdir()
        file = folder / "counterfoil.toml"
        server = self.server
        file.write_text(
            _CONFIG.format(url=server.url, database=server.database, user=server.user, page_size=page_size),
            encoding="utf-8",
        )
        return open_hub(file)


def run(console: Console | None = None) -> int:
    """Tell the story; 0 when both sides agree at the end, 1 when anything was not as it must be."""
    console = console or Console()
    home = Path(os.environ.get("COUNTERFOIL_TRYTON_HOME", ".tryton"))
    console.print(
        "[bold]Counterfoil[/bold] keeps a CRM and the back office telling the same story. This demo shows it with a"
        " real Tryton ERP,\nwhich gets an environment of its own and is spoken to over the network only."
    )
    try:
        with _scratch() as folder:
            server = TrytonServer(home)
            with _status(console, "installing, seeding and starting Tryton (the first time takes a minute)"):
                server.start()
            try:
                os.environ["COUNTERFOIL_DEMO_PASSWORD"] = server.password
                comparison = _tell(Story(console, folder, server))
            finally:
                server.stop()
                os.environ.pop("COUNTERFOIL_DEMO_PASSWORD", None)
    except (DemoFailed, DeskFailed, PushFailed) as failure:
        console.print(f"[red bold]not as it must be:[/red bold] {failure}")
        return 1
    return 0 if comparison.agrees else 1


def _tell(story: Story) -> Comparison:
    console = story.console
    console.print(f"Tryton {story.server.url}, process {story.server.pid}, on SQLite in a scratch folder")

    story.chapter("1  The first pull")
    hub = story.hub("crm")
    changes = _pull(story, hub)
    _require(all(c.decision is Decision.CREATED for c in changes), "the first pull did more than create")
    _show(story, hub)

    story.chapter("2  Somebody works in the ERP")
    with _status(console, "a price, a stock move, an invoice and a deactivation in Tryton"):
        done = story.server.change()
    for line in _in_words(done):
        console.print(f"  {line}")

    story.chapter("3  The second pull brings exactly that")
    changes = _pull(story, hub)
    for table in change_tables(changes):
        draw(table, console)
    _require_changes(changes, done)

    story.chapter("4  A pull is killed in mid-page, and resumed")
    other = story.hub("killed", page_size=5)
    _kill_and_resume(story, other)

    story.chapter("5  Both sides, value by value")
    with _status(console, "Tryton's own client reads what Tryton says"):
        truth = story.server.truth()
    comparison = Comparison()
    for one in (hub, other):
        comparison = compare(truth, one.database.engine)
        for line in comparison.lines():
            console.print(f"  {line}")
        for difference in comparison.differences[:20]:
            console.print(f"  [red]{difference}[/red]")
        _require(comparison.agrees, f"{len(comparison.differences)} values differ")
    total = sum(comparison.compared.values())
    console.print(
        f"\n[green bold]Both sides agree:[/green bold] {total} values compared in each of the two CRMs, 0 differences."
        f" [dim]{time.monotonic() - story.started:.0f} s[/dim]",
        soft_wrap=True,
    )

    story.chapter("6  An order goes out, and its answer is lost")
    pushed = push_over_a_cut_wire(console, hub, story.server)
    for line in pushed.told:
        console.print(f"  {line}")
    console.print(
        f"\n[green bold]Tryton has it once:[/green bold] sale {pushed.sale['number']} for {pushed.sale['customer']},"
        f" {pushed.sale['untaxed']} EUR without tax, {pushed.sale['state']}; the hub knows it as {pushed.state}.",
        soft_wrap=True,
    )

    story.chapter("7  The desk, over the same CRM and the same Tryton")
    show_desk(console, hub, looks_for="CUST-002")
    return comparison


def _pull(story: Story, hub: Hub) -> list[Change]:
    return changes_of_a_pull(hub, story.console)


def changes_of_a_pull(hub: Hub, console: Console, *, is_rehearsal: bool = False) -> list[Change]:
    """Pull with bars and a table; the changes that it made (or would make). Raises DemoFailed."""
    (job,) = hub.settings.jobs
    with progress_bars(console) as bars:
        watcher = Bars(bars, wants_changes=True, limit=_CHANGES_KEPT)
        report = operations.pull(hub, job, listener=watcher, is_rehearsal=is_rehearsal)
    draw(report_table(f"run {report.run_id}: {report.status}", report.entities.values()), console)
    _require(report.status == "succeeded", f"the pull ended as {report.status}: {report.error}")
    return list(watcher.changes)


def _show(story: Story, hub: Hub) -> None:
    engine = hub.database.engine
    for noun, entity, query, limit in (
        ("products", EntityType.PRODUCT, None, 6),
        ("prices", EntityType.PRICE, "TOO-003", 6),
        ("stock", EntityType.STOCK_LEVEL, "FAS-004", 3),
        ("credit", EntityType.CREDIT, None, 6),
    ):
        entities = repository.list_entities(engine, entity, query=query, limit=limit)
        total = repository.count_entities(engine, entity, query=query)
        draw(entity_table(noun, entities, labels_for(engine, entity, entities), total=total), story.console)


def _in_words(done: dict[str, Any]) -> Iterator[str]:
    price, stock, invoice, retired = (done[key] for key in ("price", "stock", "invoice", "deactivated"))
    yield f"price of {price['product']}: {price['before']} -> {price['after']}"
    moved = ", ".join(
        f"{place} {before} -> {stock['after'][place]}"
        for place, before in stock["before"].items()
        if before != stock["after"][place]
    )
    yield f"stock of {stock['product']}: {moved}"
    yield f"invoice {invoice['invoice']} for {invoice['customer']}: {invoice['total']}, {invoice['state']}"
    yield f"product {retired['product']}: deactivated"


def _require_changes(changes: list[Change], done: dict[str, Any]) -> None:
    """The four things that were done, their consequences, and nothing else but debts that a midnight makes overdue."""
    changes = [c for c in changes if c.entity is not EntityType.CREDIT or not _only_ages(c)]
    found = {(change.entity.value, change.decision.value) for change in changes}
    expected = {
        ("product", "updated"),  # a list price, a deactivation
        ("price", "updated"),  # the lists that are made of that price
        ("stock_level", "updated"),
        ("credit", "updated"),
        ("invoice", "created"),
    }
    _require(found == expected, f"the second pull changed {sorted(found)}, expected {sorted(expected)}")
    counts = {entity: sum(c.entity.value == entity for c in changes) for entity, _ in expected}
    _require(
        (counts["product"], counts["stock_level"], counts["credit"], counts["invoice"]) == (2, 2, 1, 1),
        f"the second pull changed {counts}",
    )
    numbers = [c.fields["number"][1] for c in changes if c.entity is EntityType.INVOICE]
    _require(numbers == [done["invoice"]["invoice"]], f"the new invoice is {numbers}")


def _only_ages(change: Change) -> bool:
    return bool(change.fields) and all(name.startswith("overdue") for name in change.fields)


def _kill_and_resume(story: Story, hub: Hub) -> None:
    """A pull in a process of its own is killed with SIGKILL in the middle of its product pages."""
    console = story.console
    command = [sys.executable, "-m", "cli", "--config", str(hub.settings.file), "pull"]
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parents[1]))
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        stored = _wait_for(hub, process, lambda session: _count(session, "products") >= _KILL_AFTER_PAGES * 5)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(10)
    console.print(f"  kill -9 while product pages were being stored: {stored} products are in the store")
    _require(process.returncode == -signal.SIGKILL, "the pull had ended before it could be killed")
    changes = _pull(story, hub)
    with operations.opened(hub) as session:
        products = _count(session, "products")
        bound = session.all("SELECT count(*), count(DISTINCT external_id) FROM bindings b JOIN streams s"
                            " ON s.id = b.stream_id WHERE s.entity = 'product'")[0]  # fmt: skip
    again = sum(c.entity is EntityType.PRODUCT for c in changes)
    console.print(f"  resumed: {again} more products, {products} in all, each bound exactly once")
    _require(tuple(bound) == (products, products), "a product is bound twice or not at all")
    _require(products == stored + again, "the resumed pull took a stored product in again")


def _wait_for(hub: Hub, process: subprocess.Popen[bytes], holds: Callable[[Session], bool]) -> int:
    """Poll the store until it holds; returns the number of products then."""
    end = time.monotonic() + _KILL_WITHIN_SECONDS
    with operations.opened(hub) as session:
        while time.monotonic() < end and process.poll() is None:
            if holds(session):
                os.kill(process.pid, signal.SIGSTOP)  # so that what is counted is what the kill leaves
                return _count(session, "products")
            time.sleep(0.005)
    raise DemoFailed("the pull that was to be killed did not get as far as that")


def _count(session: Session, table: str) -> int:
    return int(session.all(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - our own table name


def _require(is_so: bool, otherwise: str) -> None:
    if not is_so:
        raise DemoFailed(otherwise)


@contextmanager
def _status(console: Console, text: str) -> Iterator[None]:
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        console.print(f"  {text} ...")
        yield


@contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="counterfoil-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
