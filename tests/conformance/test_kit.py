"""The kit is worth something only if it finds a fault: a sink that sends again when it hears nothing must fail it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NAIVE = '''
from connectors.scaffold.acme.connector import Acme
from connectors.scaffold.acme.sinks import AcmeSink
from crm_core.errors import OutcomeUnknown


class NaiveSink(AcmeSink):
    """Hears nothing, and sends again: what most integrations do."""

    def _sent(self, write):
        try:
            return super()._sent(write)
        except OutcomeUnknown:
            return super()._sent(write)


class Naive(Acme):
    def sink(self, entity):
        made = super().sink(entity)
        return NaiveSink(made.client, made.path, made.shape)
'''

TESTS = """
from connectors.conformance.reading import ReadingSuite
from connectors.conformance.writing import WritingSuite
from connectors.scaffold.acme.rehearsal import Rehearsal


class TestWriting(WritingSuite):
    rehearsal = Rehearsal


class TestReading(ReadingSuite):
    rehearsal = Rehearsal
"""

ENTRY_POINTS = """\
[counterfoil.connectors]
acme = naive:Naive

[counterfoil.rehearsals]
acme = connectors.scaffold.acme.rehearsal:Rehearsal

[pytest11]
counterfoil = connectors.conformance.plugin
"""


def installed(folder: Path, naive: str) -> dict[str, str]:
    """Put a connector in the place of acme; the environment in which it is found."""
    facts = folder / "naive-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: naive\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(ENTRY_POINTS)
    (folder / "naive.py").write_text(naive)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parents[2])])}


def outcomes(folder: Path, naive: str, choice: str) -> dict[str, str]:
    """Run the suites on a connector in a process of its own: test -> its outcome."""
    environment = installed(folder, naive)
    (folder / "test_naive.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--rootdir", str(folder), "-k", choice, str(folder / "test_naive.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        cwd=folder,
    )
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    found = {
        rest.partition("::")[2].partition("::")[2].partition(" - ")[0]: word
        for word, _, rest in lines
        if word in ("PASSED", "FAILED", "ERROR")
    }
    assert found, done.stdout + done.stderr
    return found


DEAF = '''
from connectors.scaffold.acme.connector import Acme
from connectors.scaffold.acme.sinks import AcmeSink


class DeafSink(AcmeSink):
    """Looks for a lost write and never finds it."""

    def find(self, write):
        return None if write.external_id is None else super().find(write)

    def _search(self, reference):
        return None


class Naive(Acme):
    def sink(self, entity):
        made = super().sink(entity)
        return DeafSink(made.client, made.path, made.shape)
'''

HASTY = """
from datetime import timedelta

from connectors.scaffold.acme import streams
from connectors.scaffold.acme.connector import Acme as Naive

streams.LOOK_BACK = timedelta(milliseconds=-2)  # reads on behind its watermark
"""

DISTURBED = "test_a_disturbed_write_is_there_exactly_once"


def test_a_sink_that_sends_again_when_it_hears_nothing_fails(tmp_path: Path) -> None:
    found = outcomes(tmp_path, NAIVE, "order-create or arrives_once")
    for fault in ("cut after the commit, before the answer", "cut in the middle of the answer", "5xx after the commit"):
        assert found[f"{DISTURBED}[order-create-{fault}]"] == "FAILED"
    assert found[f"{DISTURBED}[order-create-the answer comes after the time-out]"] == "FAILED"
    # where nothing was carried out, sending again does no harm: the suite blames it for nothing else
    assert found[f"{DISTURBED}[order-create-cut before the request]"] == "PASSED"
    assert found["test_a_write_arrives_once_with_the_right_values[order-create]"] == "PASSED"


def test_a_sink_that_does_not_find_what_it_wrote_fails(tmp_path: Path) -> None:
    found = outcomes(tmp_path, DEAF, "order-create-cut")
    assert found[f"{DISTURBED}[order-create-cut after the commit, before the answer]"] == "FAILED"
    assert found[f"{DISTURBED}[order-create-cut before the request]"] == "PASSED"


def test_a_stream_that_reads_on_behind_its_watermark_fails(tmp_path: Path) -> None:
    found = outcomes(tmp_path, HASTY, "very_watermark or page_size")
    assert found["test_what_changes_at_the_very_watermark_is_read_again"] == "FAILED"
    assert found["test_every_record_comes_once_whatever_the_page_size[3]"] == "PASSED"


def chaos(folder: Path, environment: dict[str, str], *options: str) -> tuple[int, dict[str, int]]:
    command = [sys.executable, "-m", "cli", "chaos", "--connector", "acme", "--json", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, cwd=folder)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_chaos_counts_what_a_sink_that_sends_again_has_doubled(tmp_path: Path) -> None:
    environment = installed(tmp_path, NAIVE)
    code, counts = chaos(tmp_path, environment, "--writes", "40", "--faults", "0.5", "--seed", "3", "--workers", "2")
    assert code == 1
    assert counts["duplicated"] > 0
    assert counts["lost"] == 0


def test_chaos_leaves_both_books_the_same(tmp_path: Path, installed_acme: Path) -> None:
    """Workers are killed, nearly every third request is disturbed: once each, right, known."""
    paths = [str(installed_acme), str(Path(__file__).parents[2])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    code, counts = chaos(tmp_path, environment, "--writes", "80", "--seed", "11", "--kills", "4", "--workers", "2")
    assert code == 0, counts
    assert counts["written"] >= 80
    assert counts == {**dict.fromkeys(counts, 0), "written": counts["written"], "seed": 11}
    assert set(counts) == {"written", "duplicated", "lost", "wrong", "unresolved", "seed"}
