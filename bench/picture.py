"""`python -m bench.picture`: draws docs/tour.svg, the picture of the README, from a real run against a real Tryton."""

from __future__ import annotations

import io
import os
import re
import tempfile
from pathlib import Path

from rich.console import Console

from crm_core.ids import EntityType
from crm_core.store import repository
from simulators.tryton_server.server import TrytonServer
from sync_jobs.bootstrap import Hub
from terminal.demo import Story, changes_of_a_pull
from terminal.entities import entity_table, labels_for
from terminal.reports import change_tables
from terminal.tables import draw

TARGET = Path(__file__).parents[1] / "docs" / "tour.svg"
WIDTH = 108


def main() -> int:
    """Boot, pull, change, and draw what a user would type and see."""
    with TrytonServer(Path(os.environ.get("COUNTERFOIL_TRYTON_HOME", ".tryton"))) as server:
        os.environ["COUNTERFOIL_DEMO_PASSWORD"] = server.password
        console = Console(record=True, width=WIDTH, file=io.StringIO())
        with tempfile.TemporaryDirectory() as scratch:
            hub = Story(Console(quiet=True), Path(scratch), server).hub("crm")
            changes_of_a_pull(hub, Console(quiet=True))
            _typed(console, "counterfoil show stock FAS-004")
            _shown(console, hub, "stock", EntityType.STOCK_LEVEL, "FAS-004", 3)
            _typed(console, "counterfoil show credit")
            _shown(console, hub, "credit", EntityType.CREDIT, None, 5)
            console.print(
                "[dim]# meanwhile, in the ERP: a price, a stock move, an invoice, a product retired[/dim]",
                highlight=False,
            )
            server.change()
            _typed(console, "counterfoil pull --dry-run")
            for table in change_tables(changes_of_a_pull(hub, Console(quiet=True), is_rehearsal=True)):
                draw(table, console)
    TARGET.write_text(_without_foreign_fonts(console.export_svg(title="counterfoil")), encoding="utf-8")
    return 0


def _typed(console: Console, command: str) -> None:
    console.print(f"[bold green]$[/bold green] [bold]{command}[/bold]", highlight=False)


def _shown(console: Console, hub: Hub, noun: str, entity: EntityType, query: str | None, limit: int) -> None:
    engine = hub.database.engine
    found = repository.list_entities(engine, entity, query=query, limit=limit)
    total = repository.count_entities(engine, entity, query=query)
    draw(entity_table(noun, found, labels_for(engine, entity, found), total=total), console)


def _without_foreign_fonts(svg: str) -> str:
    """The picture must not fetch anything: the reader's own monospaced font serves."""
    svg = re.sub(r"<!--.*?-->", "", svg)
    return re.sub(r"@font-face\s*{[^}]*}", "", svg).replace("Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo")


if __name__ == "__main__":
    raise SystemExit(main())
