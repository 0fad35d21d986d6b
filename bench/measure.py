"""Runs one command and tells what it cost; a program of its own, because of how Linux counts peak memory.

A child's peak resident size, as `wait4` reports it, starts at the size of the process that forked it. So the measured
command is forked by this small one (standard library only, started with `-I -S`), never by the runner, whose imports
would otherwise be a lower bound. The clock runs from just before the start of the command until its end.

    python -I -S measure.py --time-out 240 --output FILE -- COMMAND ARGUMENT ...

prints `{"seconds", "cpu_seconds", "peak_rss_kb", "exit_code", "is_timed_out"}`; FILE takes the command's output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


class _TimeIsOver(Exception):
    pass


def _time_is_over(_number: int, _frame: object) -> None:
    raise _TimeIsOver


def measure(command: list[str], output: str, time_out_seconds: float) -> dict[str, float | int | bool]:
    """Runs `command` in a process group of its own; ends the whole group when the time is over or we are told to."""
    signal.signal(signal.SIGALRM, _time_is_over)
    signal.signal(signal.SIGTERM, _time_is_over)
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    start = time.perf_counter()
    process_id = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setpgroup=0)
    signal.setitimer(signal.ITIMER_REAL, time_out_seconds)
    is_timed_out = False
    try:
        _, status, usage = os.wait4(process_id, 0)
    except (_TimeIsOver, KeyboardInterrupt):
        is_timed_out = True
        os.killpg(process_id, signal.SIGKILL)
        _, status, usage = os.wait4(process_id, 0)
    seconds = time.perf_counter() - start
    signal.setitimer(signal.ITIMER_REAL, 0)
    kilobytes = usage.ru_maxrss // 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_rss_kb": kilobytes,
        "exit_code": os.waitstatus_to_exitcode(status),
        "is_timed_out": is_timed_out,
    }


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    values = dict(zip(options[::2], options[1::2], strict=True))
    print(json.dumps(measure(command, values["--output"], float(values["--time-out"]))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
