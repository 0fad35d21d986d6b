"""What the gateway in front of the API counts: calls at a time, a minute, a day; and the keys of writes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulators.exchange import Request, Response
from simulators.xero.wire import bad_request, gateway_refusal

MOST_KEY_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Limits:
    """Xero's own for one tenant; windows are fixed, not sliding."""

    concurrent: int = 5
    minute: int = 60
    day: int = 5000


class Meter:
    """Counts the calls of one tenant. Needs its caller's lock."""

    def __init__(self, limits: Limits | None) -> None:
        self.limits = limits
        self._windows: dict[str, tuple[datetime, int]] = {}

    def count(self, now: datetime, in_progress: int) -> tuple[tuple[str, str], ...]:
        """The headers that tell what is left. Raises Problem (429); a refused call is not counted."""
        if self.limits is None:
            return ()
        if in_progress > self.limits.concurrent:
            raise self._refusal("concurrent", None)
        used: dict[str, int] = {}
        for name, most, length in (
            ("day", self.limits.day, timedelta(days=1)),
            ("minute", self.limits.minute, timedelta(minutes=1)),
        ):
            begun, calls = self._windows.get(name, (now, 0))
            if not begun <= now < begun + length:
                begun, calls = now, 0
            if calls >= most:
                raise self._refusal(name, begun + length - now)
            self._windows[name] = (begun, calls)
            used[name] = calls
        for name, calls in used.items():
            self._windows[name] = (self._windows[name][0], calls + 1)
        return (
            ("X-DayLimit-Remaining", str(self.limits.day - used["day"] - 1)),
            ("X-MinLimit-Remaining", str(self.limits.minute - used["minute"] - 1)),
            ("X-AppMinLimit-Remaining", "9999"),
        )

    def _refusal(self, name: str, left: timedelta | None) -> Exception:
        headers: tuple[tuple[str, str], ...] = (("X-Rate-Limit-Problem", name),)
        if left is not None:
            headers += (("Retry-After", str(-(-left // timedelta(seconds=1)))),)
        return gateway_refusal(429, "Rate limit exceeded", f"The API rate limit for {name} was exceeded", headers)


@dataclass(frozen=True, slots=True)
class _Kept:
    until: datetime
    request: tuple[str, str, str, bytes]
    response: Response


class Keys:
    """Answers to writes by their Idempotency-Key, kept for six minutes from the first call. Needs its caller's lock."""

    def __init__(self, seconds: float) -> None:
        self._lifetime = timedelta(seconds=seconds)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def answer(self, request: Request, carry_out: Callable[[], Response]) -> Response:
        """The kept answer, or what `carry_out` gives. Raises Problem (400) for a key of another request."""
        key = request.headers.get("idempotency-key", "")
        if not key or request.method == "GET":
            return carry_out()
        if len(key) > MOST_KEY_CHARACTERS:
            raise bad_request(0, "BadRequest", f"Idempotency Key: at most {MOST_KEY_CHARACTERS} characters")
        now = request.received_at
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        made = (request.method, request.path, request.query, request.body)
        kept = self._kept.get(key)
        if kept is not None and kept.until > now:
            if kept.request != made:
                raise bad_request(0, "BadRequest", f"Idempotency Key: {key} is used with a different request.")
            return kept.response
        response = carry_out()
        self._kept[key] = _Kept(now + self._lifetime, made, response)
        return response
