"""Without these, the floor could be fast because it loses records, and the verification could let anything pass."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from bench import pull
from bench.data import VARIANTS, Work, ensure_pages
from bench.floor import fetch_pages, load_postgres, load_sqlite, totals_postgres, totals_sqlite
from bench.postgres import PostgresUnavailable, Server, running_postgres
from bench.pull import Bench, Databases, WrongResult, figures, memory_figures, own_participant
from bench.runner import Sample, Series
from bench.static_server import running_server

WORK = Work(records=400, page_size=100)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with running_postgres(fsync=False) as started:
            yield started
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def bench(tmp_path: Path, server: Server) -> Iterator[Bench]:
    page_sets = {variant: ensure_pages(tmp_path / "data", WORK, variant) for variant in VARIANTS}
    with running_server({variant: pages.folder for variant, pages in page_sets.items()}) as url:
        yield Bench(page_sets, url, server, tmp_path)


def test_the_sqlite_floor_stores_exact_sums_in_every_phase(bench: Bench) -> None:
    path = str(bench.folder / "floor.sqlite")
    for variant in VARIANTS:
        assert load_sqlite(fetch_pages(bench.url, variant), path) == bench.page_sets[variant].records
        found = totals_sqlite(path)
        wanted = bench.page_sets[variant].totals_afterwards.as_json()
        assert {name: Decimal(value) for name, value in found.items()} == {
            name: Decimal(value) for name, value in wanted.items()
        }


def test_the_postgres_floor_stores_exact_sums_in_every_phase(bench: Bench, server: Server) -> None:
    with server.fresh_database() as database:
        for variant in VARIANTS:
            count = load_postgres(fetch_pages(bench.url, variant), database.conninfo)
            assert count == bench.page_sets[variant].records
            found = totals_postgres(database.conninfo)
            wanted = bench.page_sets[variant].totals_afterwards.as_json()
            assert {name: Decimal(value) for name, value in found.items()} == {
                name: Decimal(value) for name, value in wanted.items()
            }


def test_a_wrong_value_in_a_store_is_found(bench: Bench) -> None:
    databases = Databases(bench, "floor", "sqlite")
    run = own_participant(bench, "bench.floor", databases, "init")
    assert run(0).seconds > 0
    connection = sqlite3.connect(databases.where)
    with connection:
        connection.execute("""UPDATE item SET "unitCost" = "unitCost" || '1' WHERE id = (SELECT max(id) FROM item)""")
    connection.close()
    with pytest.raises(WrongResult, match="unitCost"):
        pull.verify("floor", pull_command(databases), bench.page_sets["init"])


def pull_command(databases: Databases) -> list[str]:
    return [pull.sys.executable, "-m", "bench.floor", "--store", databases.store, "--db", databases.where]


def test_each_round_starts_with_an_empty_store_and_ends_without_the_one_before(bench: Bench) -> None:
    databases = Databases(bench, "floor", "sqlite")
    first = databases.of_round(0)
    Path(first).write_bytes(b"x")
    assert databases.of_round(0) == first
    second = databases.of_round(1)
    assert second != first
    assert not Path(first).exists()


def test_the_ratios_have_the_targets_of_their_work() -> None:
    def taken(name: str, work: str, *seconds: float) -> Series:
        return Series(name, work, 100, tuple(Sample(one, peak_rss_kb=102_400) for one in seconds))

    measured = {
        (one.work, one.name): one
        for one in (
            taken("floor", "sqlite init", 1.0),
            taken("hub", "sqlite init", 3.0),
            taken("dlt", "sqlite init", 21.0),
            taken("floor", "sqlite second", 1.0),
            taken("hub", "sqlite second", 1.5),
            taken("floor", "postgres second", 2.0),
            taken("hub", "postgres second", 1.7),
            taken("floor", "postgres delta", 0.25),
            taken("hub", "postgres delta", 1.0),
        )
    }
    found = {one.name: (one.value, str(one.target), one.is_met) for one in figures(measured)}
    assert found == {
        "sqlite init: hub / floor": (3.0, "<= 3.5", True),
        "sqlite init: hub's peak memory": (100.0, "<= 120", True),
        "sqlite init: dlt / floor": (21.0, "None", None),
        "sqlite init: dlt / hub": (7.0, ">= 5", True),
        "sqlite second: hub / floor": (1.5, "<= 1.6", True),
        "sqlite second: hub's peak memory": (100.0, "<= 120", True),
        "postgres second: hub / floor": (0.85, "None", None),
        "postgres second: hub / SQLite floor": (1.7, "<= 1.6", False),
        "postgres second: hub's peak memory": (100.0, "<= 120", True),
        "postgres delta: hub / floor": (4.0, "<= 3", False),
        "postgres delta: hub's peak memory": (100.0, "<= 120", True),
    }


def test_memory_that_grows_with_the_catalogue_is_told() -> None:
    small = Series("hub", "sqlite 200,000", 200_000, (Sample(1.0, peak_rss_kb=102_400),))
    large = Series("hub", "sqlite 1,000,000", 1_000_000, (Sample(5.0, peak_rss_kb=122_880),))
    values = [(one.value, one.is_met) for one in memory_figures(small, large)]
    assert values == [(100.0, True), (120.0, True), (1.2, False)]


def test_the_command_runs_from_end_to_end(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "hub_exists", lambda: False)
    assert (
        pull.main(["--records", "400", "--rounds", "1", "--warm-up", "0", "--store", "sqlite", "--no-peer", "--json"])
        == 0
    )
    shown = pull.json.loads(capfd.readouterr().out)
    assert [(one["work"], one["name"], one["records"]) for one in shown["series"]] == [
        ("sqlite init", "floor", 400),
        ("sqlite second", "floor", 400),
        ("sqlite delta", "floor", 8),
    ]


def test_a_run_sets_the_hub_beside_the_floor_in_every_phase_of_both_stores(bench: Bench) -> None:
    # The floor stands in for the hub: what is tested is the run, its order, its verification and its ratios.
    report = pull.compare(
        bench, ["sqlite", "postgres"], list(VARIANTS), rounds=1, warm_up=0, hub_module="bench.floor", with_peer=False
    )
    assert len(report.series) == 12
    ratios = {one.name: str(one.target) for one in report.figures if one.unit == "x"}
    assert ratios == {
        "sqlite init: hub / floor": "<= 3.5",
        "sqlite second: hub / floor": "<= 1.6",
        "sqlite delta: hub / floor": "<= 3",
        "postgres init: hub / floor": "<= 2.5",
        "postgres second: hub / floor": "None",
        "postgres second: hub / SQLite floor": "<= 1.6",
        "postgres delta: hub / floor": "<= 3",
    }
    assert sorted(path.name for path in bench.folder.iterdir()) == ["data"]


def test_the_memory_check_measures_both_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pull, "SCRATCH", tmp_path)
    report = pull.memory((Work(200), Work(1_000)), ["sqlite"], module="bench.floor")
    assert [(one.work, one.records) for one in report.series] == [("sqlite 200", 200), ("sqlite 1,000", 1_000)]
    assert [one.name for one in report.figures] == [
        "sqlite 200: peak memory",
        "sqlite 1,000: peak memory",
        "sqlite 1,000 / sqlite 200: memory",
    ]
