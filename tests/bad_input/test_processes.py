"""The command as processes: two at once, and kill -9 at any request; afterwards both sides are the same."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crm_core.errors import LeaseUnavailable
from simulators.exchange import Request, Response
from sync_jobs.decisions import Decision
from tests.bad_input.books import Books

ROOT = Path(__file__).parents[2]
SECONDS = 60


@contextmanager
def pulling(books: Books, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`counterfoil pull` as a process of its own; ended with the block, whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "--config", str(books.file), "pull", *arguments],
        cwd=books.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def test_of_two_pulls_of_one_job_one_runs_and_the_other_says_who(books_on_both: Books) -> None:
    """A cron job and a person start the same pull: together they would write every record twice."""
    books = books_on_both
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(request: Request, response: Response) -> Response:
        if request.path.endswith("/items"):
            is_asked.set()
            assert may_answer.wait(SECONDS)
        return response

    books.simulator.change = slow
    with pulling(books) as first:
        try:
            assert is_asked.wait(SECONDS), "the first process is in the middle of its pull"
            with pulling(books) as second:
                _, told = second.communicate(timeout=SECONDS)
            assert second.returncode == LeaseUnavailable.exit_code == 5
            assert re.search(rf"'books' is .* by \S+:{first.pid};", told), "the owner, by machine and process"
        finally:
            may_answer.set()
        first.communicate(timeout=SECONDS)
    assert first.returncode == 0
    books.simulator.change = None
    books.assert_both_sides_agree()
    assert books.last_run().id == 1, "the second one did not even begin a run"


def test_a_pull_that_lost_its_job_to_another_machine_writes_nothing_more(books_on_both: Books) -> None:
    """A laptop wakes up after the lease has ended and another machine has taken over."""
    books = books_on_both
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(request: Request, response: Response) -> Response:
        if request.path.endswith("/items"):
            is_asked.set()
            assert may_answer.wait(SECONDS)
        return response

    books.simulator.change = slow
    with pulling(books) as first:
        try:
            assert is_asked.wait(SECONDS)
            with books.session() as session:
                session.run("UPDATE leases SET token = token + 1, owner = 'elsewhere:1:1'")
        finally:
            may_answer.set()
        _, told = first.communicate(timeout=SECONDS)
    assert first.returncode == 5
    assert "another process has taken over; this page was not stored" in told
    assert books.count("products") == 0
    with books.session() as session:
        session.run("UPDATE leases SET owner = ''")
    books.simulator.change = None
    books.pull()
    books.assert_both_sides_agree()


# Requests of a whole pull of this company: token, company, currency, then the pages of every stream.
@pytest.mark.parametrize("requests", [[2, 4, 8], [6, 3, 13]])
def test_kill_9_at_any_request_and_the_next_pull_ends_as_if_nothing_had_been(
    books_on_both: Books, requests: list[int]
) -> None:
    """Power cuts and out-of-memory killers: half an order list, or everything twice."""
    books = books_on_both
    victims: list[subprocess.Popen[str]] = []
    left = 0
    is_started = threading.Event()

    def deadly(_: Request, response: Response) -> Response:
        nonlocal left
        left -= 1
        if left == 0:
            assert is_started.wait(SECONDS)
            os.kill(victims[-1].pid, signal.SIGKILL)
        return response

    books.simulator.change = deadly
    for nth in requests:
        left = nth
        is_started.clear()
        with pulling(books, "--full") as victim:
            victims.append(victim)
            is_started.set()
            victim.communicate(timeout=SECONDS)
        assert victim.returncode == -signal.SIGKILL
        assert books.last_run().status == "running"
    books.simulator.change = None
    books.simulator.update_item("100002", unitPrice=77)
    books.pull()  # goes on behind the pages that are stored: what has changed in those is the next pull's
    books.pull()
    assert [run for run in stati(books) if run != "interrupted"] == ["succeeded", "succeeded"]
    books.assert_both_sides_agree()
    again = books.pull(full=True)
    assert again.total(Decision.CREATED) == again.total(Decision.UPDATED) == again.total(Decision.DELETED) == 0
    books.assert_both_sides_agree()


def stati(books: Books) -> list[str]:
    with books.session() as session:
        return [row[0] for row in session.all("SELECT status FROM runs ORDER BY id")]
