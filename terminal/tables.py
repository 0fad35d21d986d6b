"""What the command line shows: tables, values, progress.

A table is plain data. On a terminal rich draws it; anywhere else it is aligned text that no width cuts, made without
importing rich, so that a scheduled pull does not wait for it.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

NARROWEST = 12
"""Cells that a text is never cut below; a column that has no room for them is left out and named."""

_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    may_shrink: its texts may be cut on a narrow terminal; numbers, money and ids never are: a cut number is a lie.
    folds: its texts go on in the next line instead of being cut. leaves_at: left out when there is no room, the
    highest first; 0 = never. styles: text -> rich style.
    """

    title: str
    align: Literal["left", "right"] = "left"
    may_shrink: bool = False
    folds: bool = False
    leaves_at: int = 0
    styles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts under columns, with a title above and notes below. `has_header`: show the columns' titles."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    has_header: bool = True


STATUS_STYLES: Mapping[str, str] = {
    "active": "green",
    "inactive": "dim",
    "cancelled": "dim",
    "on hold": "bold red",
    "succeeded": "green",
    "partial": "yellow",
    "held": "bold yellow",
    "failed": "red",
    "interrupted": "red",
    "running": "cyan",
    "paid": "green",
    "created": "green",
    "linked": "cyan",
    "updated": "yellow",
}


# -- values -----------------------------------------------------------------------------------------------------------


def plain(value: Any) -> str:
    """A value as people read it: one line, no exponent, no control characters (they could drive the terminal)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={plain(item)}" for key, item in value.items() if item not in (None, ""))
    if isinstance(value, tuple | list):
        return "; ".join(plain(item) for item in value)
    return printable(str(value))


def printable(text: str) -> str:
    """One line without control characters."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else " " if c in "\n\r\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    ).strip()


def number(value: Decimal | None) -> str:
    """An exact number without needless zeros or an exponent."""
    if value is None:
        return ""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money(amount: Decimal | None, currency: str | None) -> str:
    """`12.50 EUR`, `1500 JPY`: at least the currency's own decimals, all others only when the amount has them."""
    from crm_core.errors import RuleFault
    from crm_core.money import minor_units

    if amount is None:
        return ""
    try:
        places = minor_units(currency or "")
    except RuleFault:
        places = 0
    whole, _, decimals = number(amount).partition(".")
    decimals = decimals.ljust(places, "0")
    return f"{whole}.{decimals} {currency or ''}".strip() if decimals else f"{whole} {currency or ''}".strip()


def moment(value: datetime | None) -> str:
    """In UTC to the second; the zone is said."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def seconds(value: float) -> str:
    """`0.42 s`, `75 s`, `2 h 05 min`."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 600:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value // 3600:.0f} h {value % 3600 // 60:02.0f} min"


def width(text: str) -> int:
    """Cells of a terminal: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.combining(c) or unicodedata.category(c) == "Cf"
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in text
    )


# -- tables -----------------------------------------------------------------------------------------------------------


def show(table: Table) -> None:
    """Print a table to stdout: drawn on a terminal, plain text otherwise."""
    if not sys.stdout.isatty():
        click.echo(as_text(table))
        return
    from rich.console import Console  # 60 ms that only a person waits for

    draw(table, Console())


def as_text(table: Table) -> str:
    """Aligned text, nothing cut; a column without any value is left out."""
    keep = [
        at for at, column in enumerate(table.columns) if column.leaves_at == 0 or any(row[at] for row in table.rows)
    ]
    columns = [table.columns[at] for at in keep]
    rows = [[row[at] for at in keep] for row in table.rows]
    head = [[column.title for column in columns]] if table.has_header and rows else []
    widths = [max([0, *(width(row[at]) for row in (*head, *rows))]) for at in range(len(columns))]
    lines = [table.title] if table.title else []
    for row in (*head, *rows):
        cells = [
            " " * (size - width(cell)) + cell if column.align == "right" else cell + " " * (size - width(cell))
            for cell, size, column in zip(row, widths, columns, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *table.notes])


def draw(table: Table, console: Console) -> None:
    """The table as rich draws it, as wide as the console allows."""
    from rich.text import Text

    widths, hidden = _fitted(table, console.width)
    if table.title:
        console.print(Text(table.title, style="bold"))
    if table.rows:
        console.print(_drawn(table, widths))
    notes = list(table.notes)
    if hidden:
        notes.append(f"left out for want of room: {', '.join(hidden)}")
    for note in notes:
        console.print(Text(note, style="dim"))


def _drawn(table: Table, widths: Mapping[int, int]) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    made = RichTable(
        box=box.SIMPLE_HEAD if table.has_header else None,
        show_header=table.has_header,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for at, size in widths.items():
        column = table.columns[at]
        made.add_column(
            column.title,
            justify=column.align,
            width=size,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
        )
    for row in table.rows:
        made.add_row(*(Text(row[at], style=table.columns[at].styles.get(row[at], "")) for at in widths))
    return made


def _fitted(table: Table, room: int) -> tuple[dict[int, int], list[str]]:
    """Place of each column that is shown -> its width; and the titles of those that there is no room for.

    Columns that may go do so first, then texts shrink, the widest first.
    """
    widths = {
        at: _natural(table, at)
        for at, column in enumerate(table.columns)
        if column.leaves_at == 0 or not table.rows or any(row[at] for row in table.rows)
    }
    hidden: list[str] = []
    while sum(_least(table, at) for at in widths) + _gaps(widths) > room:
        candidates = [at for at in widths if table.columns[at].leaves_at]
        if not candidates:
            break
        goes = max(candidates, key=lambda at: table.columns[at].leaves_at)
        hidden.append(table.columns[goes].title)
        del widths[goes]
    while sum(widths.values()) + _gaps(widths) > room:
        candidates = [at for at in widths if widths[at] > _least(table, at)]
        if not candidates:
            break
        widths[max(candidates, key=lambda at: widths[at])] -= 1
    return widths, hidden


def _gaps(widths: Mapping[int, int]) -> int:
    return _GAP * (len(widths) - 1)


def _natural(table: Table, at: int) -> int:
    title = width(table.columns[at].title) if table.has_header else 0
    return max([title, *(width(row[at]) for row in table.rows)])


def _least(table: Table, at: int) -> int:
    column, natural = table.columns[at], _natural(table, at)
    if column.folds:
        return min(natural, 2 * NARROWEST)
    return min(natural, max(NARROWEST, width(column.title))) if column.may_shrink else natural
