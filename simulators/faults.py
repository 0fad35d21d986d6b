"""Faults by plan: which request is disturbed, and how. The same plan and the same requests give the same faults.

A plan is a sequence of rules. Each rule counts the requests that it matches (method and path); it fires on the nth
of them and the `times - 1` that follow, or, with a probability, on those that its seed chooses. When several rules
would fire, the first one of the plan does; the others go on counting.
"""

from __future__ import annotations

import gzip
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from simulators import json_text
from simulators.exchange import Request, Response


class FaultKind(StrEnum):
    """What goes wrong. The request is handled (and its effect stays) unless the kind says otherwise."""

    LATENCY = "latency"  # nothing but the wait: before it is handled, or with `after_commit` before it is answered
    STATUS = "status"  # answers with `status`; not handled unless `after_commit`
    CUT_BEFORE = "cut_before"  # connection closed; not handled
    CUT_REQUEST = "cut_request"  # connection reset after `portion` of the announced request; not handled
    CUT_AFTER = "cut_after"  # handled, then closed without an answer
    CUT_MIDDLE = "cut_middle"  # closed after `portion` of the announced body
    HTML = "html"  # an HTML page with `status` where JSON is expected
    GZIP_MARKED_PLAIN = "gzip_marked_plain"  # Content-Encoding: gzip on a plain body
    GZIP_UNMARKED = "gzip_unmarked"  # a gzip body without the header
    GZIP_UNASKED = "gzip_unasked"  # a well-marked gzip body, whatever Accept-Encoding says
    PAGE_LOOP = "page_loop"  # the previous answer of the same path again
    TRUNCATED_JSON = "truncated_json"  # `portion` of the body, with a Content-Length that agrees
    NAN = "nan"  # the number of `field` (default: the first one) becomes NaN
    INVALID_UTF8 = "invalid_utf8"  # the string of `field` (default: the first one) gets the bytes FF FE
    GIANT_BODY = "giant_body"  # the string of `field` (default: the first one) grows by `size_bytes`
    DUPLICATE_IDS = "duplicate_ids"  # the page's first record once more at its end, with `changes`
    SURPRISE = "surprise"  # every object of a JSON answer has a member that nobody announced; others stay as they are
    REPLACED = "replaced"  # bytes of the answer replaced by others, each pair of `replacements` in turn
    CLOCK_BACKWARDS = "clock_backwards"  # the server's clock is `seconds_back` behind for this request


NOT_HANDLED = frozenset({FaultKind.CUT_BEFORE, FaultKind.CUT_REQUEST})
CUTS = frozenset({FaultKind.CUT_BEFORE, FaultKind.CUT_REQUEST, FaultKind.CUT_AFTER, FaultKind.CUT_MIDDLE})


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance; parameters that the kind does not name are ignored, `latency_ms` works with every kind.

    status: 503 for STATUS and 200 for HTML unless given. portion: share of the body that is sent (or, of a request,
    that is read), from 0 to 1.
    resets: a cut sends RST instead of FIN. records_key: where a page keeps its records (a bare list needs none).
    without_length: the answer has no Content-Length and ends with the connection.
    """

    kind: FaultKind
    latency_ms: int = 0
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    after_commit: bool = False
    portion: float = 0.5
    resets: bool = False
    field: str | None = None
    size_bytes: int = 50_000_000
    records_key: str = "value"
    changes: tuple[tuple[str, str | int | bool | None], ...] = ()
    seconds_back: float = 3600
    without_length: bool = False
    replacements: tuple[tuple[bytes, bytes], ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.portion <= 1:
            raise ValueError(f"portion is a share from 0 to 1, not {self.portion}")

    @property
    def prevents_handling(self) -> bool:
        """Whether the back office never gets to see the request."""
        return self.kind in NOT_HANDLED or (self.kind is FaultKind.STATUS and not self.after_commit)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests a fault hits.

    path: a regular expression searched in the path. nth: from 1, among the requests that this rule matches; None
    means the first. times: how many in a row from there (None: all). probability (0 to 1) replaces nth and times: each
    matching request is hit or not by `seed` and its ordinal, whatever the threads do. others: further faults, of which
    the seed chooses one for each request that is hit. kind: what the request is to the simulator (`read`, `write`).
    """

    fault: Fault
    method: str | None = None
    path: str | None = None
    nth: int | None = None
    times: int | None = 1
    probability: float | None = None
    seed: int = 0
    others: tuple[Fault, ...] = ()
    kind: str | None = None

    def __post_init__(self) -> None:
        if self.nth is not None and self.nth < 1:
            raise ValueError(f"nth counts from 1, not {self.nth}")
        if self.probability is not None and (self.nth is not None or not 0 <= self.probability <= 1):
            raise ValueError("a probability is a share from 0 to 1 and excludes nth")


Plan = Sequence[Rule]
Counter = tuple[int, ...]  # how many requests each rule of the plan has matched so far


def always(fault: Fault, *, method: str | None = None, path: str | None = None) -> Rule:
    """A rule that hits every matching request."""
    return Rule(fault, method=method, path=path, times=None)


def count(plan: Plan, request: Request, counter: Counter) -> Counter:
    """The counter after this request; an empty counter is a new one."""
    before = counter or (0,) * len(plan)
    return tuple(seen + _matches(rule, request) for rule, seen in zip(plan, before, strict=True))


def pick(plan: Plan, request: Request, counter: Counter) -> Fault | None:
    """The fault of this request; `counter` already counts it (see `count`)."""
    for rule, ordinal in zip(plan, counter, strict=True):
        if _matches(rule, request) and _fires(rule, ordinal):
            return _chosen(rule, ordinal)
    return None


def distort(fault: Fault, response: Response, previous: Response | None) -> Response:
    """The answer as the fault leaves it; `previous` is the last undisturbed answer of the same path.

    Cuts, latency and clocks are the server's business: they leave the answer as it is.
    """
    match fault.kind:
        case FaultKind.STATUS:
            return Response(fault.status or 503, fault.body, fault.headers)
        case FaultKind.HTML:
            body = fault.body or b"<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>"
            return Response(fault.status or 200, body, (("Content-Type", "text/html; charset=utf-8"),))
        case FaultKind.GZIP_MARKED_PLAIN:
            return replace(response, headers=(*response.headers, ("Content-Encoding", "gzip")))
        case FaultKind.GZIP_UNMARKED:
            return replace(response, body=gzip.compress(response.body, 1, mtime=0))
        case FaultKind.GZIP_UNASKED:
            body = gzip.compress(response.body, 1, mtime=0)
            return replace(response, body=body, headers=(*response.headers, ("Content-Encoding", "gzip")))
        case FaultKind.PAGE_LOOP:
            return previous or response
        case FaultKind.TRUNCATED_JSON:
            return replace(response, body=response.body[: int(len(response.body) * fault.portion)])
        case FaultKind.NAN:
            return replace(response, body=with_nan(response.body, fault.field))
        case FaultKind.INVALID_UTF8:
            return replace(response, body=with_text_prefix(response.body, fault.field, b"\xff\xfe"))
        case FaultKind.GIANT_BODY:
            return replace(response, body=with_text_prefix(response.body, fault.field, b"x" * fault.size_bytes))
        case FaultKind.SURPRISE:
            return replace(response, body=with_surprises(response.body))
        case FaultKind.REPLACED:
            body = response.body
            for old, new in fault.replacements:
                if old not in body:
                    raise ValueError(f"the answer has no {old!r} to replace")
                body = body.replace(old, new)
            return replace(response, body=body)
        case FaultKind.DUPLICATE_IDS:
            body = with_duplicate(response.body, fault.records_key, dict(fault.changes))
            return replace(response, body=body)
        case _:
            return response


def with_nan(body: bytes, field: str | None) -> bytes:
    """The JSON text with the number of the first such field replaced by NaN. Raises ValueError when there is none."""
    return _replace_once(rb"(" + _name_pattern(field) + rb"\s*)-?\d[\d.eE+-]*", rb"\1NaN", body, field)


def with_text_prefix(body: bytes, field: str | None, prefix: bytes) -> bytes:
    """The JSON text with `prefix` put before the first such string's content. Raises ValueError when there is none."""
    pattern = rb"(" + _name_pattern(field) + rb'\s*")'
    found = re.search(pattern, body)
    if found is None:
        raise ValueError(f"the answer has no string field {field or 'at all'} to disturb")
    return body[: found.end()] + prefix + body[found.end() :]


def with_surprises(body: bytes) -> bytes:
    """The JSON text with one more member in every object; a text that is no JSON stays as it is."""
    try:
        value = json_text.load(body)
    except ValueError:
        return body
    return json_text.dump(_surprised(value)).encode()


def _surprised(value: object) -> object:
    if isinstance(value, dict):
        return {
            **{name: _surprised(item) for name, item in value.items()},
            "zzSurprise": {"since": "yesterday", "n": [1]},
        }
    return [_surprised(item) for item in value] if isinstance(value, list) else value


def with_duplicate(body: bytes, records_key: str, changes: Mapping[str, object]) -> bytes:
    """The page with its first record repeated at the end, changed so. An empty page stays as it is.

    Raises ValueError when the body is not JSON or has no list of records.
    """
    page = json_text.load(body)
    records = page.get(records_key) if isinstance(page, dict) else page
    if not isinstance(records, list):
        raise ValueError(f"the answer has no list of records under {records_key!r}")  # noqa: TRY004 - content, not type
    if records:
        records.append({**records[0], **changes})
    return json_text.dump(page).encode()


def _matches(rule: Rule, request: Request) -> bool:
    return (
        (rule.method is None or rule.method == request.method)
        and (rule.kind is None or rule.kind == request.kind)
        and (rule.path is None or re.search(rule.path, request.path) is not None)
    )


def _fires(rule: Rule, ordinal: int) -> bool:
    if rule.probability is not None:
        return random.Random(f"{rule.seed}:{ordinal}").random() < rule.probability
    first = rule.nth or 1
    return ordinal >= first and (rule.times is None or ordinal < first + rule.times)


def _chosen(rule: Rule, ordinal: int) -> Fault:
    if not rule.others:
        return rule.fault
    return random.Random(f"{rule.seed}:{ordinal}:which").choice((rule.fault, *rule.others))


def _name_pattern(field: str | None) -> bytes:
    return rb'"' + (rb"[^\"]+" if field is None else re.escape(field).encode()) + rb'":'


def _replace_once(pattern: bytes, new: bytes, body: bytes, field: str | None) -> bytes:
    changed, hits = re.subn(pattern, new, body, count=1)
    if not hits:
        raise ValueError(f"the answer has no number field {field or 'at all'} to disturb")
    return changed
