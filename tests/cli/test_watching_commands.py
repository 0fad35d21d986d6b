"""`status`, `metrics`, `alerts`: what somebody on duty sees, and what their tools read."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from sync_jobs.watching.standing import standing_of
from terminal.status import age, size, status_tables
from terminal.tables import draw, width
from tests.cli.office import PRODUCT, Desk
from tests.cli.push_office import PushDesk
from tests.watching.receivers import hook


def test_status_of_a_hub_that_is_well_is_short_and_ends_with_0(desk: Desk) -> None:
    """A check that always finds something is switched off."""
    desk.fill()
    desk.run("pull")
    lines = desk.run("status").stdout.splitlines()
    assert lines[0] == "1 connection: 1 healthy"
    assert lines[-1] == "nothing needs a person"
    found = desk.data("status")
    assert (found["needs_a_person"], found["concerns"]) == (False, [])
    (erp,) = found["connections"]
    assert (erp["is"], erp["last_pull"]["run"], erp["last_push"]) == ("healthy", 1, None)
    assert found["database"]["bytes"] > 100_000


def test_status_says_what_is_stuck_and_how_to_go_on_and_ends_with_1(trade: PushDesk) -> None:
    """Somebody on duty at night needs the next command, not a number."""
    trade.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)
    trade.run("pull", expect=1)
    trade.order(reference="refuse")
    trade.order(reference="PO-7")
    trade.run("push", expect=1)
    trade.order(reference="PO-8")
    text = trade.run("status", expect=1).stdout
    assert text.startswith("1 connection: 1 stuck\n")
    assert "counterfoil dead-letters list --connection erp --cause invalid_value" in text
    assert "counterfoil outbox list --connection erp --state rejected" in text
    (erp,) = trade.data("status", expect=1)["connections"]
    assert (erp["dead_letters"], erp["outbox"]) == (1, {"waiting": 1, "rejected": 1, "unknown": 0})


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_status_fits_on_a_narrow_screen_and_never_cuts_a_number(trade: PushDesk, columns: int) -> None:
    """A count that is cut is a lie."""
    trade.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)
    trade.run("pull", expect=1)
    out = io.StringIO()
    for table in status_tables(standing_of(trade.hub())):
        draw(table, Console(file=out, width=columns, color_system=None))
    assert max(width(line) for line in out.getvalue().splitlines()) <= columns
    assert "stuck" in out.getvalue()
    assert "--cause invalid_value" in " ".join(out.getvalue().split())


def test_a_company_sees_its_connections_only(desk: Desk) -> None:
    """A house that keeps a thousand companies' books looks at one."""
    desk.fill()
    desk.write_settings(more='[connections.other]\nconnector = "memory"\nurl = "memory:"\npassword = "x"')
    file = desk.folder / "counterfoil.toml"
    text = file.read_text(encoding="utf-8").replace(
        'connector = "memory"', 'belongs_to = "North"\nconnector = "memory"', 1
    )
    file.write_text(text, encoding="utf-8")
    desk.run("pull", "all")
    assert [one["name"] for one in desk.data("status")["connections"]] == ["erp", "other"]
    assert [one["name"] for one in desk.data("status", "--company", "North")["connections"]] == ["erp"]
    assert [one["job"] for one in desk.data("runs", "--company", "North")] == ["all"]
    said = desk.run("status", "--company", "Nroth", expect=2).stderr
    assert said == "error: no connection belongs to company 'Nroth'; did you mean 'North'?\n"


def test_a_company_without_a_name_is_refused(desk: Desk) -> None:
    """A filter by it would find nothing and say so of everything."""
    desk.write_settings(more='[connections.other]\nconnector = "memory"\nurl = "memory:"\nbelongs_to = ""')
    assert "`belongs_to` must be the name of a company, not ''" in desk.run("status", expect=2).stderr


def test_metrics_are_read_by_prometheus_and_written_whole(trade: PushDesk, tmp_path: Path) -> None:
    """A monitor that finds half a file, or a name with a quote in it, sees nothing at all."""
    trade.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)
    trade.run("pull", expect=1)
    trade.order(reference="refuse")
    trade.run("push", expect=1)
    file = tmp_path / "counterfoil.prom"
    trade.run("metrics", "--file", str(file))
    families = {family.name: family for family in text_string_to_metric_families(file.read_text(encoding="utf-8"))}
    values = {
        (name, *sorted(sample.labels.items())): sample.value
        for name, family in families.items()
        for sample in family.samples
    }
    where = (("connection", "erp"), ("entity", "product"))
    assert values["counterfoil_dead_letters_open", ("cause", "invalid_value"), *where] == 1
    order = (("connection", "erp"), ("entity", "order"), ("state", "rejected"))
    assert values["counterfoil_outbox", *order] == 1
    assert values["counterfoil_outbox_oldest_seconds", *order] >= 0
    runs = (("connection", "erp"), ("kind", "push"), ("status", "partial"))
    assert values["counterfoil_runs", *runs] == 1
    assert values["counterfoil_concerns", ("connection", "erp"), ("kind", "dead_letter")] == 1
    assert values["counterfoil_concerns", ("connection", "erp"), ("kind", "late")] == 0
    last = (("connection", "erp"), ("decision", "dead"), ("entity", "product"), ("job", "all"), ("kind", "pull"))
    assert values["counterfoil_last_run_records", *last] == 1
    assert values["counterfoil_stream_read_age_seconds", *where] >= 0
    assert list(tmp_path.glob(".counterfoil.prom*")) == []
    assert trade.run("metrics").stdout.count("# TYPE") == len(families)


def test_every_number_stands_in_the_documents(trade: PushDesk) -> None:
    """Whoever writes a rule for a monitor must know what a name means."""
    from http_api.metrics import _breakers
    from sync_jobs.watching.numbers import hub_numbers

    text = (Path(__file__).parents[2] / "docs" / "watching.md").read_text(encoding="utf-8")
    for family in (*hub_numbers(trade.hub()), _breakers(())):
        labels = ", ".join(f"`{label}`" for label in family.labels)
        assert f"| `{family.name}` | {labels} |" in text


def test_alerts_are_tried_told_and_listed(desk: Desk) -> None:
    """A channel that was mistyped is found before the night in which it is needed."""
    with hook() as made:
        desk.write_settings(more=f'[alerts]\ndead_letter_hours = 0.000001\n[alerts.webhooks.ops]\nurl = "{made.url}"')
        desk.fill()
        assert desk.run("alerts", "test").stdout == "webhook:ops: works\n"
        assert desk.run("alerts", "send").stdout == "there is nothing to tell\n"
        desk.source(PRODUCT).put("p9", code="W-9", name="Bad", price="much", active=True)
        desk.run("pull", expect=1)
        made.status = 500
        assert desk.data("alerts", "send", expect=1) == [
            {"channel": "webhook:ops", "opened": 1, "over": 0, "error": "127.0.0.1 answered 500"}
        ]
        (kept,) = desk.data("alerts", "list")
        assert (kept["told_at"], kept["attempts"], kept["error"]) == (None, 1, "127.0.0.1 answered 500")
        assert "not yet: 127.0.0.1 answered 500" in desk.run("alerts", "list").stdout
    said = desk.run("alerts", "test", "webhook:opps", expect=2).stderr
    assert said == "error: there is no channel 'webhook:opps'; did you mean 'webhook:ops'?\n"


def test_alerts_without_anybody_to_tell_say_where_to_name_one(desk: Desk) -> None:
    """`alerts test` that ends with 0 and tells nobody would be taken for a proof."""
    said = desk.run("alerts", "test", expect=2).stderr
    assert "names nobody who is told: add [alerts.webhooks.NAME] or [alerts.mail]" in said


def test_ages_and_sizes_are_told_by_their_largest_unit() -> None:
    """`7200 s` is read twice, `2 h` once."""
    spans = (0, 119, 120, 3599, 3600, 86399, 86400 * 3)
    assert [age(timedelta(seconds=span)) for span in spans] == ["0 s", "119 s", "2 min", "59 min", "1 h", "23 h", "3 d"]
    assert [size(n) for n in (0, 999, 1500, 25_000_000, 3 * 10**12)] == ["0 B", "999 B", "1.5 KB", "25 MB", "3.0 TB"]
