"""What `bench.live` measures with: an office that thinks and counts, and a load generator that knows a wrong answer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from bench.live import LIVE_ANSWER, Load, ask, calls_of, parse, process
from bench.runner import PROJECT

ONE = "/v2.0/companies(c)/customers(1)?$select=id"


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    file = tmp_path / "recorded.json"
    answers = {f"GET {ONE}": '{"provenance":"live"}', "GET /companies": "{}", "POST /token": '{"access_token":"x"}'}
    file.write_text(json.dumps(answers), encoding="utf-8")
    return file


def test_the_office_thinks_about_customers_only_and_counts_them(recorded: Path) -> None:
    """The hub would be measured against an office that answers at once, or share a count with the sign-in."""
    with process(["-m", "bench.live_office", str(recorded), "50"]) as office:
        begun = time.monotonic()
        with urlopen(f"{office}/companies") as answer:
            assert answer.read() == b"{}"
        assert calls_of(office) == 0
        with urlopen(f"{office}{ONE}") as answer:
            assert json.loads(answer.read()) == {"provenance": "live"}
            assert answer.headers["Date"].endswith("GMT")
        assert time.monotonic() - begun >= 0.05
        assert calls_of(office) == 1
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{office}/v2.0/companies(c)/customers(2)")
        with urlopen(f"{office}/token", data=b"grant_type=client_credentials") as answer:
            assert json.loads(answer.read()) == {"access_token": "x"}


def test_an_answer_that_is_not_what_was_asked_for_is_an_error(recorded: Path) -> None:
    """Answers without a live figure would be counted as live ones."""
    with process(["-m", "bench.live_office", str(recorded), "1"]) as office:
        good = ask(office, 4, 0.2, [ONE], LIVE_ANSWER)
        wrong = ask(office, 4, 0.2, [ONE], '"unknown"')
        missing = ask(office, 4, 0.2, ["/none"])
    assert good.answers >= 4
    assert good.errors == 0
    assert list(good.latencies) == sorted(good.latencies)
    assert good.median >= 0.001
    assert (wrong.errors, missing.errors) == (wrong.answers, missing.answers)


def test_median_and_p99_are_those_of_the_latencies() -> None:
    """A figure would be of another percentile than it says."""
    load = Load(200, 0, 2.0, tuple(number / 1000 for number in range(1, 201)))
    assert (load.median, load.p99, load.rate) == (pytest.approx(0.1005), 0.199, 100.0)


def test_a_process_that_ends_before_it_tells_its_address_is_told(tmp_path: Path) -> None:
    """A benchmark would wait for ever."""
    finished = subprocess.run(
        [sys.executable, "-m", "bench.live_office", str(tmp_path / "none.json"), "1"],
        capture_output=True,
        cwd=PROJECT,
        check=False,
        timeout=60,
    )
    assert finished.returncode != 0
    with pytest.raises(SystemExit):
        parse(["--customers", "3"])
