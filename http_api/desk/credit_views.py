"""Credit as the pages show it: the bar, its parts, what is overdue by age. What is not told is said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from markupsafe import Markup

from crm_core.credit import AGEING_BUCKETS
from http_api.desk.charts import Slice, small_bar, stacked_bar
from http_api.desk.speech import Speech
from sync_jobs.live.answers import CREDIT_PARTS, CreditAnswer, Source

THIS_ORDER = "this_order"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the exposure; value: None = not told."""

    kind: str
    value: Decimal | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is overdue for so long, with a bar beside the number."""

    name: str
    value: Decimal | None
    bar: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditView:
    """A credit in one currency as a page shows it.

    hold: `held`, `free` or `unknown`. is_at_most: a part is not told, so that more may be used than `exposure` says.
    """

    currency: str
    limit: Decimal | None
    is_unlimited: bool
    exposure: Decimal | None
    available: Decimal | None
    overdue: Decimal | None
    hold: str
    is_at_most: bool
    bar: Markup
    parts: tuple[Part, ...]
    unknown: tuple[str, ...]
    ageing: tuple[Bucket, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditChange:
    """A credit before and after an order, in one currency. legend: what the bar has drawn."""

    currency: str
    before: CreditAnswer
    after: CreditAnswer
    bar: Markup
    legend: tuple[Part, ...]
    sources: tuple[Source, ...]


def credit_view(answer: CreditAnswer, account_name: str, t: Speech) -> CreditView | None:
    """The view of an answer; None when nothing at all is known of it (its sources say why)."""
    if answer.currency is None:
        return None
    return CreditView(
        currency=answer.currency,
        limit=answer.limit,
        is_unlimited=answer.is_unlimited,
        exposure=answer.exposure,
        available=answer.available,
        overdue=answer.overdue,
        hold="unknown" if answer.is_on_hold is None else "held" if answer.is_on_hold else "free",
        is_at_most=is_at_most(answer),
        bar=credit_bar(answer, account_name, t),
        parts=tuple(Part(name, answer.parts.get(name)) for name in CREDIT_PARTS),
        unknown=answer.unknown,
        ageing=_ageing(answer, t),
        sources=answer.sources,
    )


def credit_change(before: CreditAnswer, after: CreditAnswer, account_name: str, t: Speech) -> CreditChange | None:
    """What an order does to a credit; None when nothing is known of it."""
    if before.currency is None:
        return None
    ordered = None
    if before.exposure is not None and after.exposure is not None:
        ordered = after.exposure - before.exposure
    return CreditChange(
        currency=before.currency,
        before=before,
        after=after,
        bar=credit_bar(before, account_name, t, ordered=ordered),
        legend=tuple(
            Part(kind, amount)
            for kind, amount in (*before.parts.items(), (THIS_ORDER, ordered))
            if amount is not None and amount > 0
        ),
        sources=before.sources,
    )


def credit_changes(
    before: Sequence[CreditAnswer], after: Sequence[CreditAnswer], account_name: str, t: Speech
) -> list[CreditChange]:
    """The changes by currency."""
    afters: Mapping[str | None, CreditAnswer] = {answer.currency: answer for answer in after}
    pairs = [credit_change(one, afters.get(one.currency, one), account_name, t) for one in before]
    return [pair for pair in pairs if pair is not None]


def credit_bar(answer: CreditAnswer, account_name: str, t: Speech, *, ordered: Decimal | None = None) -> Markup:
    """The parts of the exposure against the limit. ordered: what an order adds to them."""
    assert answer.currency is not None
    currency = answer.currency
    parts = [
        Slice(name, amount, f"{t.say(f'credit.parts_of.{name}')}: {t.money(amount, currency)}")
        for name, amount in answer.parts.items()
    ]
    if ordered is not None:
        told = f"{t.say(f'credit.parts_of.{THIS_ORDER}')}: {t.money(ordered, currency)}"
        parts.append(Slice(THIS_ORDER, ordered, told))
    limit = t.say("credit.no_limit") if answer.is_unlimited else t.money(answer.limit, currency)
    left = t.say("credit.unlimited") if answer.is_unlimited else t.money(answer.available, currency)
    return stacked_bar(
        parts,
        limit=None if answer.limit is None else max(answer.limit, Decimal(0)),
        title=t.say("credit.bar_title", account=account_name, currency=currency),
        description=t.say("credit.bar_told", limit=limit, exposure=t.money(answer.exposure, currency), available=left),
        is_rtl=t.is_rtl,
        is_complete=not is_at_most(answer),
    )


def is_at_most(answer: CreditAnswer) -> bool:
    """Whether a part of the exposure is not told: what is available may be less than it seems."""
    return answer.exposure is None or bool(set(CREDIT_PARTS).intersection(answer.unknown))


def _ageing(answer: CreditAnswer, t: Speech) -> tuple[Bucket, ...]:
    """Every bucket where any is told; none where the back office does not age at all."""
    if not answer.ageing:
        return ()
    largest = max(answer.ageing.values())
    values = {name: answer.ageing.get(name) for name in AGEING_BUCKETS}
    return tuple(
        Bucket(name, value, small_bar(value, largest, "overdue", is_rtl=t.is_rtl)) for name, value in values.items()
    )
