"""What differs between the two sides, as integrators see it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crm_core.access import Scope
from crm_core.ids import ConnectionName, EntityType
from crm_core.store.drifts import OpenDrifts
from crm_core.store.state import Run
from http_api.desk.drift_views import comparisons, drift_rows, history_chart, repair_of
from http_api.desk.speech import speech_of
from sync_jobs.drift import DriftKind
from sync_jobs.operations import opened
from sync_jobs.reconcile_operations import reconcile
from tests.desk.conftest import Desk, Visitor, opened_desk
from tests.desk.test_sales_pages import text_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One of its own for each test: every one of them alters something."""
    with opened_desk(tmp_path) as made, TestClient(made.app):
        yield made


@contextmanager
def altered(desk: Desk) -> Iterator[int]:
    """An account whose name somebody changed in our database; its id."""
    account = desk.id_of(EntityType.ACCOUNT, "10004")
    with opened(desk.hub) as session, session.transaction():
        session.run("UPDATE accounts SET name = 'Somebody <b>else</b>' WHERE id = ?", (account,))
    yield account


def test_before_the_first_comparison_the_page_says_so(visitor: Visitor) -> None:
    """`Nothing differs` would be a guess when nobody has looked."""
    told = text_of(visitor.get("/desk/drift"))
    assert "Nothing has been compared yet" in told
    assert "agreed" not in told


def test_a_value_that_somebody_altered_is_shown_with_both_sides(desk: Desk, visitor: Visitor) -> None:
    """Why one field is wrong, and since when, within a minute."""
    with altered(desk) as account:
        assert reconcile(desk.hub, "erp").status == "partial"
    page = visitor.get("/desk/drift")
    told = text_of(page)
    assert re.search(r"account erp 1 name (just now|\d+ seconds? ago)", told)
    assert re.search(r"comparison partly succeeded .* 1 0", told)
    assert 'class="partial"' in page
    found = re.search(r'href="(/desk/drift/records\?[^"]+)"', page)
    assert found is not None
    page = visitor.get(found[1].replace("&amp;", "&"))
    told = text_of(page)
    assert "1 difference" in told
    assert "Somebody &lt;b&gt;else&lt;/b&gt;" in page
    assert "<b>else" not in page
    assert "changed here takes theirs in" in told
    assert "counterfoil reconcile erp --entity account --repair" in told
    assert f'href="/desk/accounts/{account}"' in page
    assert "Differ 1" in text_of(visitor.get("/desk/connections"))


def test_after_a_repair_both_sides_agree(desk: Desk, visitor: Visitor) -> None:
    """A difference that is mended must not keep anybody busy."""
    with altered(desk):
        reconcile(desk.hub, "erp")
    assert reconcile(desk.hub, "erp", repairs=True).status == "succeeded"
    page = visitor.get("/desk/drift")
    assert "Both sides agreed when they were last compared." in text_of(page)
    assert page.count('class="running"') == 1  # the repair, which found it and mended it
    assert "0 differences" in text_of(visitor.get("/desk/drift/records?connection=erp&entity=account"))


def test_another_connection_is_another_page(desk: Desk, visitor: Visitor) -> None:
    """With a hundred connections, the one that is asked about."""
    with altered(desk):
        reconcile(desk.hub, "erp")
    assert "name" in text_of(visitor.get("/desk/drift?connection=erp"))
    told = text_of(visitor.get("/desk/drift?connection=other"))
    assert "Nothing has been compared yet" in told
    visitor.get("/desk/drift/records?connection=erp&entity=nothing", expect=404)


def test_sales_do_not_see_it(desk: Desk, stranger: Visitor) -> None:
    """Differences show values of every customer."""
    stranger.sign_in(desk.key(Scope.SALES_READ))
    stranger.get("/desk/drift", expect=403)
    stranger.get("/desk/drift/records?connection=erp&entity=account", expect=403)


# -- views ------------------------------------------------------------------------------------------------------------


def test_what_has_been_wrong_for_longest_stands_first() -> None:
    """An old difference that sinks under new ones is never mended."""

    def group(entity: EntityType, hours: int, fields: dict[str, int]) -> OpenDrifts:
        return OpenDrifts(ConnectionName("erp"), entity, 2, fields, NOW - timedelta(hours=hours))

    many = {"name": 3, "": 9, "code": 1, "status": 2, "kind": 1, "tax_id": 1}
    rows = drift_rows([group(EntityType.ACCOUNT, 1, many), group(EntityType.PRICE, 9, {"": 1})], NOW, None)
    assert [(row.entity, row.fields, row.age) for row in rows] == [
        ("price", "", 32400.0),
        ("account", "name, status, code, kind …", 3600.0),
    ]
    assert drift_rows([group(EntityType.ACCOUNT, 1, many)], NOW, "other") == []


def test_every_kind_of_difference_has_a_word_and_a_repair() -> None:
    """A kind without a word would be shown as code."""
    repairs = {kind.value: repair_of(kind.value) for kind in DriftKind}
    assert {kind for kind, what in repairs.items() if what == "ours"} == {"not_taken", "not_sent"}
    assert {kind for kind, what in repairs.items() if what == "taken_out"} == {"gone_there", "not_bound"}
    for tag in ("en", "th", "fa"):
        texts = speech_of(tag).texts
        assert {f"drift.kinds.{kind.value}" for kind in DriftKind} <= set(texts)
        assert {f"drift.repairs.{what}" for what in repairs.values()} <= set(texts)


def test_the_chart_goes_from_the_oldest_to_the_newest_and_says_what_it_shows() -> None:
    """Whether it gets better is seen at once, and heard."""

    def run(number: int, read: int, differing: int, repaired: int) -> Run:
        report = {"account": {"read": read, "differing": differing, "repaired": repaired}}
        began = NOW + timedelta(days=number)
        return Run(number, "erp", "erp", "reconcile", "partial", began, began, report, None, None)

    rows = comparisons([run(3, 50, 0, 0), run(2, 50, 4, 4), run(1, 50, 7, 0)], held=[2])
    assert [(row.read, row.differing, row.repaired, row.waits_for_approval) for row in rows] == [
        (50, 0, 0, False),
        (50, 4, 4, True),
        (50, 7, 0, False),
    ]
    drawn = history_chart(rows, speech_of("en"))
    assert re.findall(r'<rect class="(\w+)"', drawn) == ["partial", "running", "succeeded"]
    assert re.findall(r"<title>[^<]*: (\d+ records? differs?)", drawn) == [
        "7 records differ",
        "4 records differ",
        "0 records differ",
    ]
    assert "First 7 records differ, last 0 records differ." in drawn
