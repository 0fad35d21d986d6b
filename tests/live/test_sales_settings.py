"""`[sales]` of the settings: a slip is told by its key, with the nearest choice."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from crm_core.credit import Policy
from crm_core.errors import ConfigurationFault
from sync_jobs.sales_settings import CreditJoin, SalesSettings
from sync_jobs.settings import load_settings

CONNECTIONS = """
[connections.erp]
connector = "tryton"
url = "http://127.0.0.1:1"
[connections.books]
connector = "tryton"
url = "http://127.0.0.1:1"
"""


def load(folder: Path, text: str) -> SalesSettings:
    file = folder / "counterfoil.toml"
    file.write_text(CONNECTIONS + text, encoding="utf-8")
    return load_settings(file).sales


def test_everything_can_be_said_and_nothing_has_to_be(tmp_path: Path) -> None:
    """A setting that is not read would leave the default in its place, unnoticed."""
    assert load(tmp_path, "") == SalesSettings()
    (tmp_path / "rates.toml").write_text('USD-EUR = "0.92"\n', encoding="utf-8")
    made = load(
        tmp_path,
        """
[sales]
unknown = "warn"
stock = "block"
overdue = "allow"
overdue_tolerance = "12.50"
max_age_seconds = 60
deadline_seconds = 1.5
reservation_minutes = 5
breaker_failures = 2
breaker_seconds = 4
stock_from = "erp"
rates = "rates.toml"
[sales.credit]
limit = "erp"
balance = "books"
counted = ["erp"]
""",
    )
    assert (made.unknown, made.stock, made.overdue) == (Policy.WARN, Policy.BLOCK, Policy.ALLOW)
    assert (made.overdue_tolerance, made.max_age_seconds, made.deadline_seconds) == (Decimal("12.50"), 60, 1.5)
    assert (made.reservation_minutes, made.breaker_failures, made.breaker_seconds) == (5, 2, 4)
    assert made.stock_from == "erp"
    assert made.join == CreditJoin(limit="erp", balance="books", counted=frozenset({"erp"}))  # type: ignore[arg-type]
    rate = made.rate("USD", "EUR")
    assert rate is not None
    assert rate.value == Decimal("0.92")
    assert made.rate("EUR", "USD") is None  # a rate holds one way


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sales]\nunkown = 'block'", "counterfoil.toml [sales]: unknown key 'unkown'; did you mean 'unknown'?"),
        ("[sales]\nunknown = 'maybe'", "[sales]: unknown must be block, warn or allow, not 'maybe'"),
        ("[sales]\nmax_age_seconds = -1", "[sales]: max_age_seconds must be a number from 0 to"),
        ("[sales]\ndeadline_seconds = true", "[sales]: deadline_seconds must be a number from 0.05 to 300, not True"),
        ("[sales]\nbreaker_failures = 0", "[sales]: breaker_failures must be a whole number from 1 to 1000"),
        ("[sales]\noverdue_tolerance = 0.1", "[sales]: overdue_tolerance must be a number from 0 up, in quotes"),
        ("[sales]\nstock_from = 'erb'", "[sales]: stock_from: there is no connection 'erb'; did you mean 'erp'?"),
        ("[sales.credit]\nlimits = 'erp'", "[sales.credit]: unknown key 'limits'; did you mean 'limit'?"),
        ("[sales.credit]\nlimit = 'book'", "[sales.credit]: limit: there is no connection 'book'; did you mean"),
        ("[sales.credit]\ncounted = 'erp'", "[sales.credit]: counted must be a list of connections, not 'erp'"),
        ("[sales]\nrates = 'none.toml'", "[sales]: rates: none.toml: No such file or directory"),
        ("[sales]\nrates = 'bad.toml'", "bad.toml: USDEUR: 'USDEUR' is no pair of currencies: write USD-EUR"),
        ("[sales]\nrates = 'zero.toml'", "zero.toml: USD-EUR must be a number above 0, in quotes"),
        ("sales = 3", "[sales] is not a table"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(text: str, says: str, tmp_path: Path) -> None:
    """A policy with a typing error would be the default policy."""
    (tmp_path / "bad.toml").write_text('USDEUR = "1"\n', encoding="utf-8")
    (tmp_path / "zero.toml").write_text('USD-EUR = "0"\n', encoding="utf-8")
    file = tmp_path / "counterfoil.toml"
    file.write_text(f"{text}\n{CONNECTIONS}" if text.startswith("sales") else CONNECTIONS + text, encoding="utf-8")
    with pytest.raises(ConfigurationFault) as caught:
        load_settings(file)
    assert says in str(caught.value)
