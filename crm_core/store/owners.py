"""Which process something belongs to: a lease, a run, an intent, a session of the database."""

from __future__ import annotations

import os
import socket


def owner_of_this_process() -> str:
    """`host:pid:start`, so that a later process with the same pid is told from this one."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead_here(owner: str) -> bool:
    """Whether the owner was a process of this machine that is no more. False when that cannot be known."""
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return started != _started(int(pid))


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks; empty where there is no /proc."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
