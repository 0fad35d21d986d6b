"""What can happen to a request on its way, in words; for the suites and the chaos run."""

from __future__ import annotations

from collections.abc import Mapping

from simulators.faults import Fault, FaultKind, Plan, Rule
from simulators.rehearsal import AUTH, READ, WRITE

LATE = 1.6
"""So many times the time-out is late."""
SETTLED = 4.0
"""So many times the time-out after it, nothing comes any more: late requests come after 0.6 of it."""


def faults_of_writes(timeout_seconds: float) -> Mapping[str, Fault]:
    """Every way in which a write can be disturbed, by its name."""
    late = int(timeout_seconds * LATE * 1000)
    return {
        "cut before the request": Fault(FaultKind.CUT_BEFORE),
        "cut in the middle of the request": Fault(FaultKind.CUT_REQUEST, portion=0.5),
        "cut after the commit, before the answer": Fault(FaultKind.CUT_AFTER, resets=True),
        "cut in the middle of the answer": Fault(FaultKind.CUT_MIDDLE, portion=0.5),
        "5xx before the commit": Fault(FaultKind.STATUS, status=503),
        "5xx after the commit": Fault(FaultKind.STATUS, status=502, after_commit=True),
        "the answer comes after the time-out": Fault(FaultKind.LATENCY, latency_ms=late, after_commit=True),
        "carried out after the time-out": Fault(FaultKind.LATENCY, latency_ms=late),
        "asked to slow down": Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "1"),)),
    }


FAULTS_OF_READS: Mapping[str, Fault] = {
    "cut before the request": Fault(FaultKind.CUT_BEFORE),
    "5xx before the commit": Fault(FaultKind.STATUS, status=503),
    "cut in the middle of the answer": Fault(FaultKind.CUT_MIDDLE, portion=0.5),
}
"""Every way in which a look-up, or a sign-in, can be disturbed."""


def plan_of(share: float, seed: int, timeout_seconds: float) -> Plan:
    """Faults on this share of all requests; which ones, and how, follows from the seed and the request's place."""
    writes, reads = tuple(faults_of_writes(timeout_seconds).values()), tuple(FAULTS_OF_READS.values())
    return [
        Rule(writes[0], kind=WRITE, probability=share, seed=seed, others=writes[1:]),
        Rule(reads[0], kind=READ, probability=share, seed=seed + 1, others=reads[1:]),
        Rule(reads[0], kind=AUTH, probability=share, seed=seed + 2, others=reads[1:]),
    ]
