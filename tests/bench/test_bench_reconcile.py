"""Without these, a reconcile that misses or invents differences could be timed as a good one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import reconcile
from bench.data import Work
from bench.differences import HERE, THERE, WHOLE, expected, planned, write_pages
from bench.pull import Bench, WrongResult
from bench.reconcile import Round
from bench.runner import Sample, Series
from bench.static_server import running_server

WORK = Work(records=300, page_size=100)
DIFFERENCES = 30


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp("reconcile")
    write_pages(folder / "plain", WORK, 0)
    write_pages(folder / "planted", WORK, DIFFERENCES)
    with running_server({name: folder / name for name in ("plain", "planted")}) as url:
        yield Bench({}, url, None, folder)


def test_every_kind_of_difference_is_planted_in_fifty() -> None:
    kinds = {(one.side, one.field) for one in planned(Work(), 50)}
    assert kinds == {
        *(("here", name) for name in HERE),
        *(("there", name) for name in THERE),
        *(("whole", name) for name in WHOLE),
    }
    assert len(expected(Work(), 50)) == 50


def test_a_round_finds_exactly_what_was_planted_and_ends_clean(bench: Bench, tmp_path: Path) -> None:
    samples = Round(bench, "sqlite", WORK, DIFFERENCES).run(str(tmp_path / "store.sqlite"))
    assert list(samples) == list(reconcile.PHASES)
    assert all(sample.seconds > 0 for sample in samples.values())


def test_a_difference_that_was_not_planted_is_called_invented(bench: Bench, tmp_path: Path) -> None:
    """The pages hold whole records that are new and gone; a round that expects none of those must not pass."""
    fewer = Round(bench, "sqlite", WORK, len(HERE) + len(THERE))
    with pytest.raises(WrongResult, match=r"found: missed \[\], invented \[\('missing_here'"):
        fewer.run(str(tmp_path / "store.sqlite"))


def test_the_ratios_have_their_targets() -> None:
    def taken(phase: str, *seconds: float) -> Series:
        return Series("hub", f"sqlite {phase}", 100, tuple(Sample(one, peak_rss_kb=102_400) for one in seconds))

    series = {
        ("sqlite", phase): taken(phase, one) for phase, one in zip(reconcile.PHASES, (2.0, 3.0, 9.0, 5.0), strict=True)
    }
    found = {one.name: (one.value, str(one.target), one.is_met) for one in reconcile.figures(series, ["sqlite"])}
    assert found == {
        "sqlite: differences found / re-read": (1.5, "<= 2", True),
        "sqlite: nothing found / re-read": (2.5, "<= 2", False),
        "sqlite: repaired / re-read": (4.5, "None", None),
        "sqlite: peak memory": (100.0, "<= 120", True),
    }
