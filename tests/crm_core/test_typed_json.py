"""Without these, two answers that come in at the same moment could end the whole process."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import msgspec
import pytest

from crm_core.typed_json import decode_as

_RACE = """
import sys, threading
from dataclasses import make_dataclass
from crm_core.typed_json import decode_as

sys.setswitchinterval(1e-6)
for number in range(60):
    Inner = make_dataclass(f"Inner{number}", [("a", int), ("b", str)])
    parts = [make_dataclass(f"Part{number}_{i}", [(f"f{n}", list[Inner]) for n in range(12)]) for i in range(3)]
    Whole = make_dataclass(f"Whole{number}", [(f"k{i}", part) for i, part in enumerate(parts)])
    part = "{" + ",".join('"f%d":[{"a":1,"b":"x"}]' % n for n in range(12)) + "}"
    text = "{" + ",".join('"k%d":%s' % (i, part) for i in range(3)) + "}"
    together, read = threading.Barrier(8), []

    def work():
        together.wait()
        read.append(decode_as(text, Whole).k2.f11[0].b)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert read == ["x"] * 8
"""
"""Types that nobody has met, each met by eight threads at once."""


@dataclass(frozen=True)
class Point:
    x: int


def test_a_type_that_many_threads_meet_at_once_ends_no_process() -> None:
    """A push with several threads would die like by kill -9, at its first answers."""
    ended = subprocess.run([sys.executable, "-c", _RACE], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_value_of_another_form_is_refused() -> None:
    assert decode_as(b'{"x": 1}', Point) == Point(1)
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`"):
        decode_as('{"x": "one"}', Point)
    with pytest.raises(msgspec.DecodeError):
        decode_as(b"{", Point)
