"""Without these, a table could show a ratio or a peak that nobody measured."""

from __future__ import annotations

import json
import sys

import pytest

from bench.runner import CommandFailed, Figure, Report, Sample, Series, Skipped, Target, alternate, ratio, run_measured


def series(name: str, *seconds: float) -> Series:
    return Series(name, "init", 1_000, tuple(Sample(one, peak_rss_kb=int(one * 1024)) for one in seconds))


def test_a_series_tells_its_median_rate_and_highest_peak() -> None:
    one = series("floor", 4.0, 1.0, 2.0)
    assert (one.median_seconds, one.records_per_second, one.peak_rss_mb) == (2.0, 500.0, 4.0)


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    # The machine slowed down by ten in the second round: the ratio of the medians would be 5 / 1.5.
    figure = ratio(
        "hub / floor", series("hub", 2.0, 30.0, 5.0), series("floor", 1.0, 10.0, 1.5), Target("at_most", 2.5)
    )
    assert figure.value == 3.0
    assert (figure.low, figure.high) == (2.0, 5.0 / 1.5)
    assert figure.is_met is False


def test_a_ratio_of_different_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="same rounds"):
        ratio("hub / floor", series("hub", 1.0), series("floor", 1.0, 2.0))


@pytest.mark.parametrize(
    ("target", "value", "is_met"),
    [
        (Target("at_most", 3.5), 3.5, True),
        (Target("at_most", 3.5), 3.51, False),
        (Target("at_least", 5), 5.0, True),
        (Target("at_least", 5), 4.99, False),
    ],
)
def test_a_target_holds_at_its_limit(target: Target, value: float, is_met: bool) -> None:
    assert Figure("figure", value, target).is_met is is_met


def test_participants_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[tuple[str, int]] = []

    def participant(name: str):  # type: ignore[no-untyped-def]
        def run(number: int) -> Sample:
            calls.append((name, number))
            return Sample(float(len(calls)))

        return run

    works = {"first": {"a": participant("a"), "b": participant("b")}, "second": {"c": participant("c")}}
    samples = alternate(works, rounds=2, warm_up=1)
    assert calls == [
        ("b", -1), ("a", -1), ("c", -1),
        ("a", 0), ("b", 0), ("c", 0),
        ("b", 1), ("a", 1), ("c", 1),
    ]  # fmt: skip
    assert [sample.seconds for sample in samples["first"]["a"]] == [4.0, 8.0]
    assert [sample.seconds for sample in samples["second"]["c"]] == [6.0, 9.0]


def test_peak_memory_is_that_of_the_command_and_not_of_the_runner() -> None:
    ballast = bytearray(300_000_000)
    small = run_measured([sys.executable, "-I", "-S", "-c", "pass"], time_out_seconds=30)
    large = run_measured([sys.executable, "-I", "-S", "-c", "b = bytearray(150_000_000)"], time_out_seconds=30)
    assert len(ballast) == 300_000_000
    assert small.peak_rss_kb is not None
    assert large.peak_rss_kb is not None
    assert small.peak_rss_kb < 40_000
    assert large.peak_rss_kb > 140_000


def test_the_output_of_a_measured_command_is_kept() -> None:
    sample = run_measured([sys.executable, "-c", "print('{\"records\": 3}')"], time_out_seconds=30)
    assert json.loads(sample.output) == {"records": 3}
    assert sample.seconds > 0


def test_a_failed_command_is_an_error_with_its_last_words() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)exit code 3.*out of paper"):
        run_measured([sys.executable, "-c", "print('out of paper'); raise SystemExit(3)"], time_out_seconds=30)


def test_a_command_that_does_not_end_is_ended() -> None:
    with pytest.raises(CommandFailed, match=r"more than 0.5 s"):
        run_measured([sys.executable, "-c", "import threading; threading.Event().wait()"], time_out_seconds=0.5)


def test_a_report_is_one_json_object_with_targets_beside_figures(capsys: pytest.CaptureFixture[str]) -> None:
    figure = ratio("hub / floor", series("hub", 3.0), series("floor", 1.0), Target("at_most", 3.5))
    report = Report("Pull", "here", (series("floor", 1.0),), (figure,), (Skipped("dlt", "init", "no network"),))
    report.show(as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown["figures"][0]["value"] == 3.0
    assert shown["figures"][0]["target"] == "<= 3.5"
    assert shown["figures"][0]["is_met"] is True
    assert shown["series"][0]["median_seconds"] == 1.0
    assert shown["skipped"] == [{"name": "dlt", "work": "init", "reason": "no network"}]
