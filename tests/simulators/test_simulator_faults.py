"""Faults by plan: a fault that does not strike when and as planned would make every test built on it empty."""

from __future__ import annotations

import gzip
import http.client
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import json_text
from simulators.clock import ManualClock
from simulators.exchange import Request, Response, json_response
from simulators.faults import Counter, Fault, FaultKind, Plan, Rule, always, count, distort, pick
from simulators.server import LoopbackServer

PAGE = {
    "@odata.context": "x",
    "value": [{"id": "a", "name": "Äpfel", "price": 1.5}, {"id": "b", "name": "B", "price": 2}],
}
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def asked(plan: Plan, paths: list[str], method: str = "GET") -> list[FaultKind | None]:
    """The kinds of fault that these requests get, one after the other."""
    counter: Counter = ()
    kinds: list[FaultKind | None] = []
    for number, path in enumerate(paths, start=1):
        request = Request(number, method, path)
        counter = count(plan, request, counter)
        fault = pick(plan, request, counter)
        kinds.append(None if fault is None else fault.kind)
    return kinds


def test_the_nth_matching_request_is_hit_and_the_next_ones_as_often_as_said() -> None:
    plan = [
        Rule(Fault(FaultKind.HTML), path="/items$", nth=2, times=2),
        Rule(Fault(FaultKind.STATUS), path="/customers"),
    ]
    paths = ["/items", "/customers", "/items", "/other", "/items", "/items", "/customers"]
    assert asked(plan, paths) == [None, "status", "html", None, "html", None, None]


def test_a_rule_for_another_method_neither_fires_nor_counts() -> None:
    plan = [Rule(Fault(FaultKind.HTML), method="POST")]
    assert asked(plan, ["/a", "/a"]) == [None, None]
    assert asked(plan, ["/a", "/a"], "POST") == ["html", None]


def test_the_first_rule_wins_and_the_others_go_on_counting() -> None:
    plan = [Rule(Fault(FaultKind.HTML), nth=1), Rule(Fault(FaultKind.STATUS), nth=2), always(Fault(FaultKind.NAN))]
    assert asked(plan, ["/a"] * 3) == ["html", "status", "nan"]


@given(seed=st.integers(0, 1000), probability=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=30, deadline=None)
def test_chance_is_the_same_every_time(seed: int, probability: float) -> None:
    plan = [Rule(Fault(FaultKind.STATUS), probability=probability, seed=seed)]
    first = asked(plan, ["/a"] * 200)
    hits = sum(kind is not None for kind in first)
    assert asked(plan, ["/a"] * 200) == first
    assert {0.0: hits == 0, 0.3: 20 < hits < 110, 1.0: hits == 200}[probability]


@pytest.mark.parametrize("wrong", [{"nth": 0}, {"probability": 1.5}, {"probability": 0.5, "nth": 1}])
def test_a_plan_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Rule(Fault(FaultKind.STATUS), **wrong)  # type: ignore[arg-type]


def distorted(fault: Fault, previous: Response | None = None) -> bytes:
    return distort(fault, Response(200, json.dumps(PAGE, ensure_ascii=False).encode()), previous).body


def test_a_duplicate_comes_last_with_the_changes_that_were_asked() -> None:
    page = json_text.load(distorted(Fault(FaultKind.DUPLICATE_IDS, changes=(("name", "old"),))))
    assert [(row["id"], row["name"]) for row in page["value"]] == [("a", "Äpfel"), ("b", "B"), ("a", "old")]


def test_content_faults_touch_the_field_that_was_named() -> None:
    assert b'"price": NaN' in distorted(Fault(FaultKind.NAN, field="price"))
    bad = distorted(Fault(FaultKind.INVALID_UTF8, field="name"))
    assert b'"name": "\xff\xfe' in bad
    with pytest.raises(UnicodeDecodeError):
        bad.decode()
    giant = json_text.load(distorted(Fault(FaultKind.GIANT_BODY, field="name", size_bytes=1000)))
    assert [len(row["name"]) for row in giant["value"]] == [1005, 1]
    with pytest.raises(ValueError):
        json.loads(distorted(Fault(FaultKind.TRUNCATED_JSON)))


class Shop:
    """A handler with state: every POST adds one, a GET gives a page that says how many GETs there were."""

    def __init__(self) -> None:
        self.stored = 0
        self.read = 0
        self.times: list[datetime] = []

    def answer(self, request: Request) -> Response:
        self.times.append(request.received_at)
        if request.path == "/broken":
            raise RuntimeError("a mistake in the simulator")
        if request.method == "POST":
            self.stored += 1
            return json_response(201, {"stored": self.stored})
        self.read += 1
        return json_response(200, {"read": self.read, **PAGE, "value": [{"id": "a", "name": "x" * 2000}]})


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def server(shop: Shop) -> Iterator[LoopbackServer]:
    with LoopbackServer(shop.answer, clock=ManualClock(START), max_body_bytes=1000) as running:
        yield running


def call(server: LoopbackServer, method: str = "GET", path: str = "/page", **options: object) -> requests.Response:
    return requests.request(method, server.url + path, timeout=5, **options)  # type: ignore[arg-type]


def test_a_status_fault_before_handling_stores_nothing_and_after_commit_it_does(server, shop: Shop) -> None:
    busy = Fault(FaultKind.STATUS, status=429, headers=(("Retry-After", "2"),), body=b"later")
    late = Fault(FaultKind.STATUS, status=504, after_commit=True)
    server.set_plan([Rule(busy, nth=1), Rule(late, nth=2)])
    first = call(server, "POST")
    assert (first.status_code, first.headers["Retry-After"], first.text, shop.stored) == (429, "2", "later", 0)
    assert (call(server, "POST").status_code, shop.stored) == (504, 1)
    assert (call(server, "POST").json(), shop.stored) == ({"stored": 2}, 2)


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize(
    ("kind", "stored"), [(FaultKind.CUT_BEFORE, 0), (FaultKind.CUT_AFTER, 1), (FaultKind.CUT_MIDDLE, 1)]
)
def test_a_cut_leaves_the_client_without_an_answer(
    server, shop: Shop, kind: FaultKind, stored: int, resets: bool
) -> None:
    server.set_plan([Rule(Fault(kind, resets=resets))])
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        call(server, "POST")
    assert shop.stored == stored
    assert call(server, "POST").status_code == 201
    assert [entry.fault for entry in server.log] == [str(kind), None]


def test_a_page_loop_repeats_the_previous_page(server) -> None:
    server.set_plan([Rule(Fault(FaultKind.PAGE_LOOP), nth=2, times=2)])
    assert [call(server).json()["read"] for _ in range(4)] == [1, 1, 1, 4]


def test_html_and_the_gzip_faults_reach_the_client_as_planned(server) -> None:
    kinds = (FaultKind.HTML, FaultKind.GZIP_MARKED_PLAIN, FaultKind.GZIP_UNMARKED, FaultKind.GZIP_UNASKED)
    server.set_plan([Rule(Fault(kind), nth=number) for number, kind in enumerate(kinds, start=1)])
    page = call(server)
    assert (page.status_code, page.headers["Content-Type"], page.text[:15]) == (
        200,
        "text/html; charset=utf-8",
        "<!DOCTYPE html>",
    )
    with pytest.raises(requests.exceptions.ContentDecodingError):
        call(server)
    unmarked = call(server)
    assert "Content-Encoding" not in unmarked.headers
    assert json.loads(gzip.decompress(unmarked.content))["read"] == 3
    unasked = call(server, headers={"Accept-Encoding": "identity"})
    assert (unasked.headers["Content-Encoding"], unasked.json()["read"]) == ("gzip", 4)


def test_a_giant_body_can_come_without_a_length(server) -> None:
    server.set_plan([always(Fault(FaultKind.GIANT_BODY, field="name", size_bytes=3_000_000, without_length=True))])
    answer = call(server)
    assert "Content-Length" not in answer.headers
    assert len(answer.json()["value"][0]["name"]) == 3_002_000


def test_the_clock_runs_backwards_for_one_request(server, shop: Shop) -> None:
    server.set_plan([Rule(Fault(FaultKind.CLOCK_BACKWARDS, seconds_back=90), nth=2)])
    dates = [parsedate_to_datetime(call(server).headers["Date"]) for _ in range(3)]
    assert shop.times == [START, START - timedelta(seconds=90), START]
    assert dates == shop.times


def test_latency_works_with_every_kind(server) -> None:
    server.set_plan([Rule(Fault(FaultKind.STATUS, latency_ms=80))])
    answer = call(server)
    assert answer.status_code == 503
    assert answer.elapsed >= timedelta(milliseconds=80)


def test_a_fault_that_the_answer_has_no_place_for_is_told(server) -> None:
    server.set_plan([Rule(Fault(FaultKind.NAN, field="weight"))])
    assert call(server).status_code == 500
    assert "weight" in str(server.crashes[0])


def test_too_large_and_unmeasured_bodies_are_refused(server, shop: Shop) -> None:
    assert call(server, "POST", data=b"x" * 1001).status_code == 413
    assert call(server, "POST", data=iter([b"x"])).status_code == 411
    assert call(server, "POST", data=b"x" * 1000).status_code == 201
    assert shop.stored == 1


def test_a_mistake_of_the_simulator_is_kept_for_the_test_to_see(server) -> None:
    assert call(server, path="/broken").status_code == 500
    assert [str(problem) for problem in server.crashes] == ["a mistake in the simulator"]


def test_answers_are_compressed_only_where_asked(shop: Shop) -> None:
    with LoopbackServer(shop.answer, compress_over_bytes=100) as running:
        asked_for = call(running, headers={"Accept-Encoding": "gzip"})
        plain = call(running, headers={"Accept-Encoding": "identity"})
    assert (asked_for.headers.get("Content-Encoding"), plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert asked_for.json()["value"] == plain.json()["value"]


def test_one_connection_carries_many_requests_and_stop_ends_it(server) -> None:
    """Without keep-alive a test's speed says nothing; without an end, threads and ports pile up in a long run."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    sockets = set()
    for _ in range(3):
        connection.request("GET", "/page")
        sockets.add(connection.sock)
        assert connection.getresponse().read().startswith(b"{")
    assert len(sockets) == 1
    server.stop()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("simulator")] == []
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        connection.request("GET", "/page")
        connection.getresponse()
    connection.close()
    with pytest.raises(RuntimeError):
        _ = server.url


def test_secrets_in_headers_do_not_reach_the_log(server) -> None:
    call(server, headers={"Authorization": "Bearer abc", "Cookie": "s=abc", "X-Trace": "7"})
    (entry,) = server.log
    assert "abc" not in str(entry)
    assert entry.headers["x-trace"] == "7"


# -- faults of writing ------------------------------------------------------------------------------------------------


def writing(server: LoopbackServer, body: bytes) -> int | None:
    """POST; the status, or None when the connection broke."""
    try:
        return requests.post(f"{server.url}/orders", data=body, timeout=5).status_code
    except requests.ConnectionError:
        return None


def test_a_request_that_is_cut_in_its_middle_is_not_handled_and_the_next_one_is() -> None:
    seen: list[bytes] = []

    def handler(request: Request) -> Response:
        seen.append(request.body)
        return Response(201)

    plan = [Rule(Fault(FaultKind.CUT_REQUEST), kind="write", nth=1)]
    kind_of = lambda method, *_: "write" if method == "POST" else "read"  # noqa: E731
    with LoopbackServer(handler, plan=plan, kind_of=kind_of) as server:
        assert writing(server, b"first" * 1000) is None
        assert writing(server, b"second" * 1000) == 201
        assert seen == [b"second" * 1000]
        assert [(entry.fault, entry.status, entry.kind) for entry in server.log] == [
            ("cut_request", None, "write"),
            (None, 201, "write"),
        ]


def test_an_answer_can_be_late_before_or_after_the_commit() -> None:
    done: list[str] = []
    late = Fault(FaultKind.LATENCY, latency_ms=400)
    with LoopbackServer(lambda request: done.append(request.path) or Response(200)) as server:  # type: ignore[func-returns-value]
        server.set_plan([always(late)])
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{server.url}/before", timeout=0.1)
        assert done == []
        server.set_plan([always(Fault(FaultKind.LATENCY, latency_ms=400, after_commit=True))])
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{server.url}/after", timeout=0.1)
        assert "/after" in done


def test_a_seed_chooses_among_several_faults_always_the_same() -> None:
    rule = Rule(
        Fault(FaultKind.CUT_BEFORE),
        others=(Fault(FaultKind.CUT_AFTER), Fault(FaultKind.STATUS)),
        probability=0.3,
        seed=7,
    )
    first = asked([rule], ["/a"] * 1000)
    assert first == asked([rule], ["/a"] * 1000)
    hit = [kind for kind in first if kind is not None]
    assert 250 < len(hit) < 350
    assert set(hit) == {FaultKind.CUT_BEFORE, FaultKind.CUT_AFTER, FaultKind.STATUS}


def test_bytes_of_an_answer_can_be_replaced_whatever_its_format() -> None:
    renamed = Fault(FaultKind.REPLACED, replacements=((b'"id"', b'"key"'),))
    assert b'"key"' in distort(renamed, json_response(200, {"id": "a"}), None).body
    with pytest.raises(ValueError, match="has no"):
        distort(renamed, json_response(200, {"other": "a"}), None)
