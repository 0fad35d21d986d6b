"""Charts as SVG, drawn on the server: pure functions from numbers to markup.

Widths and places are percentages and heights are pixels, so that a chart fills what it is given, a phone's width or a
page's, and its text keeps its size. Colours are the style sheet's, by class. Each chart is an image with a title and a
description; the numbers stand beside it in a table as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from markupsafe import Markup

_HUNDRED = Decimal(100)
_TO_THE = Decimal("0.01")

BAR_HEIGHT = 28
LANE_HEIGHT = 44
LANE_BAR = 16
COLUMNS_HEIGHT = 120
FEWEST_COLUMNS = 12
"""The width is shared by so many at least: one column alone would be a wall."""
_AXIS_HEIGHT = 24


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of a bar. kind: the class that colours it; label: what it is told as."""

    kind: str
    value: Decimal
    label: str


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. finished: None = still going on."""

    kind: str
    started: datetime
    finished: datetime | None
    label: str


@dataclass(frozen=True, slots=True)
class Column:
    """A number at a place in a row of them; value: None = nothing is known, which is drawn as a gap."""

    kind: str
    value: float | None
    label: str


def stacked_bar(
    slices: Iterable[Slice],
    *,
    limit: Decimal | None,
    title: str,
    description: str,
    is_rtl: bool = False,
    is_complete: bool = True,
) -> Markup:
    """Parts beside each other, against a limit (None = none to draw).

    What is left up to the limit is free (`free`), or hatched (`doubtful`) when parts are not known: it may be taken.
    Parts of 0 and below take no room; when they exceed the limit, a line marks it.
    """
    drawn = [part for part in slices if part.value > 0]
    total = sum((part.value for part in drawn), Decimal(0))
    whole = max(total, limit or Decimal(0))
    if whole <= 0:
        shapes = [_rect("free" if is_complete else "doubtful", Decimal(0), _HUNDRED, 0, BAR_HEIGHT, "", is_rtl)]
        return _svg(shapes, BAR_HEIGHT, title, description, "bar")
    shapes, at = [], Decimal(0)
    for part in drawn:
        width = part.value / whole * _HUNDRED
        shapes.append(_rect(part.kind, at, width, 0, BAR_HEIGHT, part.label, is_rtl))
        at += width
    if total < whole:
        shapes.append(_rect("free" if is_complete else "doubtful", at, _HUNDRED - at, 0, BAR_HEIGHT, "", is_rtl))
    if limit is not None and Decimal(0) <= limit < total:
        place = _x(limit / whole * _HUNDRED, is_rtl)
        shapes.append(
            Markup('<line class="limit" x1="{0}%" x2="{0}%" y1="0" y2="{1}"></line>').format(
                _percent(place), BAR_HEIGHT
            )
        )
    return _svg(shapes, BAR_HEIGHT, title, description, "bar")


def small_bar(value: Decimal | None, whole: Decimal | None, kind: str, *, is_rtl: bool = False) -> Markup:
    """A bar beside a number that says the same: hidden from those who hear the page. Nothing for what is not known."""
    if value is None or whole is None or whole <= 0 or value <= 0:
        return Markup("")
    width = min(value / whole, Decimal(1)) * _HUNDRED
    shape = _rect(kind, Decimal(0), width, 0, 8, "", is_rtl)
    return Markup(
        '<svg class="chart small" height="8" width="100%" aria-hidden="true" focusable="false">{}</svg>'
    ).format(shape)


def timeline(
    lanes: Sequence[tuple[str, Sequence[Span]]],
    *,
    begin: datetime,
    end: datetime,
    ticks: Sequence[tuple[datetime, str]],
    title: str,
    description: str,
    is_rtl: bool = False,
) -> Markup:
    """A lane a name, a bar for each span in it, at least two pixels wide; times under them."""
    length = Decimal(str(max((end - begin).total_seconds(), 1)))

    def place(moment: datetime) -> Decimal:
        share = Decimal(str((moment - begin).total_seconds())) / length * _HUNDRED
        return min(max(share, Decimal(0)), _HUNDRED)

    bottom = len(lanes) * LANE_HEIGHT
    shapes: list[Markup] = []
    for moment, text in ticks:
        at = place(moment)
        x = _percent(_x(at, is_rtl))
        shapes.append(Markup('<line class="grid" x1="{0}%" x2="{0}%" y1="0" y2="{1}"></line>').format(x, bottom))
        anchor = "start" if at < 10 else "end" if at > 90 else "middle"
        shapes.append(_text("tick", x, bottom + 16, text, anchor))
    for row, (name, spans) in enumerate(lanes):
        top = row * LANE_HEIGHT
        shapes.append(_text("lane", "100" if is_rtl else "0", top + 14, name, "start", dx=-4 if is_rtl else 4))
        for span in spans:
            left, right = place(span.started), place(span.finished or end)
            shapes.append(_rect(span.kind, left, right - left, top + 20, LANE_BAR, span.label, is_rtl))
    return _svg(shapes, bottom + _AXIS_HEIGHT, title, description, "timeline")


def columns(items: Sequence[Column], *, title: str, description: str, is_rtl: bool = False) -> Markup:
    """One column each, the highest as high as the chart."""
    highest = max((item.value for item in items if item.value is not None), default=0.0)
    shapes: list[Markup] = []
    step = _HUNDRED / max(len(items), FEWEST_COLUMNS)
    for place, item in enumerate(items):
        if item.value is None:
            continue
        height = round(item.value / highest * COLUMNS_HEIGHT, 2) if highest > 0 else 0
        shapes.append(
            _rect(item.kind, step * place, step * Decimal("0.8"), COLUMNS_HEIGHT - height, height, item.label, is_rtl)
        )
    shapes.append(Markup('<line class="grid" x1="0" x2="100%" y1="{0}" y2="{0}"></line>').format(COLUMNS_HEIGHT))
    return _svg(shapes, COLUMNS_HEIGHT + 1, title, description, "columns")


def _svg(shapes: Iterable[Markup], height: float, title: str, description: str, kind: str) -> Markup:
    """An image: what is inside is not met one by one by those who hear the page."""
    return Markup(
        '<svg class="chart {}" role="img" width="100%" height="{}" aria-label="{}" aria-description="{}"'
        ' focusable="false"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(kind, height, title, description, title, description, Markup("").join(shapes))


def _rect(kind: str, at: Decimal, width: Decimal, y: float, height: float, label: str, is_rtl: bool) -> Markup:
    left = _HUNDRED - at - width if is_rtl else at
    told = Markup("<title>{}</title>").format(label) if label else ""
    return Markup('<rect class="{}" x="{}%" width="{}%" y="{}" height="{}">{}</rect>').format(
        kind, _percent(left), _percent(width), y, height, told
    )


def _text(kind: str, x: str, y: float, text: str, anchor: str, *, dx: int = 0) -> Markup:
    return Markup('<text class="{}" x="{}%" y="{}" dx="{}" text-anchor="{}">{}</text>').format(
        kind, x, y, dx, anchor, text
    )


def _x(at: Decimal, is_rtl: bool) -> Decimal:
    return _HUNDRED - at if is_rtl else at


def _percent(value: Decimal) -> str:
    return f"{value.quantize(_TO_THE):f}"
