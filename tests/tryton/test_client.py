"""What the server says when it says no: every refusal becomes an error that tells who must act, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from connectors.erp.tryton.client import TrytonClient, error_of
from connectors.erp.tryton.config import TrytonConfig
from crm_core.errors import (
    AuthenticationFailed,
    ConfigurationFault,
    ConnectorError,
    PermissionDenied,
    ProtocolViolation,
    RateLimited,
    RecordNotFound,
    StaleVersion,
    ValidationRejected,
)
from simulators.exchange import Request, Response
from simulators.server import LoopbackServer

PAGE = "<!doctype html><title>401 Unauthorized</title><h1>Unauthorized</h1>"


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        (["UserError", ["A value is required for Party.", "", None]], ValidationRejected, "A value is required"),
        (["UserError", ['You are not allowed to access "Sale".', "Within groups: ", None]], PermissionDenied, "Sale"),
        (
            ["UserError", ["You are trying to read records \"9\" of \"Party\" that don't exist.", "", None]],
            RecordNotFound,
            "don't exist",
        ),
        (["UserWarning", ["key", "The credit limit is exceeded", ""]], ValidationRejected, "credit limit"),
        (["ConcurrencyException", "Records were modified in the meanwhile"], StaleVersion, "modified"),
        (["'x_colour'", ""], ProtocolViolation, "no field or model 'x_colour': activate the Tryton module"),
        (["'no.such'", ""], ProtocolViolation, "'no.such'"),
        (["division by zero", "Traceback ..."], ProtocolViolation, "the server failed: division by zero"),
        (["", ""], ProtocolViolation, "without a word"),
        (None, ProtocolViolation, "without a word"),
    ],
)  # fmt: skip
def test_an_error_inside_an_accepted_answer(said: Any, kind: type[ConnectorError], text: str) -> None:
    """Tryton reports its errors with HTTP 200: taken for a result they would empty the CRM."""
    error = error_of(said, "party.party.read")
    assert type(error) is kind
    assert text in str(error)
    assert "\n" not in str(error)


class Server:
    """Answers calls by a script; counts them."""

    def __init__(self, script: dict[str, list[Any]]) -> None:
        self.script = script
        self.seen: list[tuple[str, str | None]] = []
        self.http = LoopbackServer(self._answer)

    def config(self, company: int | None = None) -> TrytonConfig:
        """A connection to it."""
        told = {"url": self.http.url, "database": "erp", "user": "hub", "password": "hush-Hush-1", "company": company}
        return TrytonConfig.model_validate(told)

    def _answer(self, request: Request) -> Response:
        assert request.path == "/erp/rpc/"
        sent = json.loads(request.body)
        assert set(sent) == {"id", "method", "params"}
        assert request.headers["accept-encoding"] == "gzip"
        self.seen.append((sent["method"], request.headers.get("authorization")))
        answer = self.script[sent["method"]].pop(0)
        if isinstance(answer, Response):
            return answer
        told = json.dumps({"id": sent["id"], "result": answer}).encode()
        return Response(200, told, (("Content-Type", "application/json"),))


def page(status: int, html: str) -> Response:
    """What a web server says by itself."""
    return Response(status, html.encode(), (("Content-Type", "text/html"),))


COMPANY = [{"id": 1, "party": 1, "currency.": {"id": 1, "code": "EUR", "digits": 2}}]
PREFERENCES = {"company": 1, "companies": [1]}
READ = "model.company.company.search_read"
PREFER = "model.res.user.get_preferences"


@contextmanager
def serve(script: dict[str, list[Any]]) -> Iterator[Server]:
    server = Server(script)
    with server.http:
        yield server
    assert server.http.crashes == []


def test_a_forgotten_session_is_renewed_once() -> None:
    """The server forgets a session after minutes of silence: a nightly pull would end in a login error."""
    script = {
        "common.db.login": [[2, "first-token", None], [2, "second-token", None]],
        PREFER: [PREFERENCES],
        READ: [page(401, ""), COMPANY],
    }
    with serve(script) as server, TrytonClient(server.config()) as client:
        assert client.company.currency == "EUR"
    assert [method for method, _ in server.seen].count("common.db.login") == 2
    assert len({header for method, header in server.seen if method == READ}) == 2


def test_a_wrong_password_is_tried_once_and_never_shown() -> None:
    """Every failed sign-in counts: retries would lock the user out."""
    script: dict[str, list[Any]] = {"common.db.login": [page(401, PAGE)]}
    with (
        serve(script) as server,
        TrytonClient(server.config()) as client,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        _ = client.company
    assert len(server.seen) == 1
    assert "hush" not in str(caught.value)
    assert "not accepted" in str(caught.value)


def test_too_many_sign_ins_are_left_alone() -> None:
    """Insisting would keep the door closed."""
    script: dict[str, list[Any]] = {"common.db.login": [page(429, "<title>429 Too Many Requests</title>")]}
    with serve(script) as server, TrytonClient(server.config()) as client, pytest.raises(RateLimited):
        _ = client.company
    assert len(server.seen) == 1


def test_preferences_that_are_no_object_are_refused() -> None:
    """An answer of another call must not end as a crash in the middle of a pull."""
    script: dict[str, list[Any]] = {"common.db.login": [[2, "token", None]], PREFER: [[2, "token", None]]}
    with (
        serve(script) as server,
        TrytonClient(server.config()) as client,
        pytest.raises(ProtocolViolation, match="the answer is no object"),
    ):
        _ = client.company


def test_a_method_that_the_server_does_not_offer() -> None:
    """403 with an HTML page is what an unknown method gets."""
    script: dict[str, list[Any]] = {
        "common.db.login": [[2, "token", None]],
        PREFER: [page(403, "<title>403 Forbidden</title>")],
    }
    with (
        serve(script) as server,
        TrytonClient(server.config()) as client,
        pytest.raises(PermissionDenied, match="does not offer get_preferences"),
    ):
        _ = client.company


@pytest.mark.parametrize(
    ("preferences", "company", "kind", "text"),
    [
        ({"company": None, "companies": []}, COMPANY, ConfigurationFault, "works for no company"),
        ({"company": 7, "companies": [1]}, COMPANY, PermissionDenied, r"company 7 .* \[1\]"),
        ({"company": None, "companies": [1, 2]}, COMPANY, ConfigurationFault, r"\[1, 2\]"),
        (PREFERENCES, [], ProtocolViolation, "without its currency"),
        (PREFERENCES, [{"id": 1, "party": 1, "currency.": None}], ProtocolViolation, "without its currency"),
    ],
)
def test_nothing_is_read_before_the_company_is_proved(
    preferences: Any, company: Any, kind: type[Exception], text: str
) -> None:
    """Without a company in its context Tryton answers null for every credit limit: that reads as `no limit`."""
    script: dict[str, list[Any]] = {"common.db.login": [[2, "token", None]], PREFER: [preferences], READ: [company]}
    with serve(script) as server, TrytonClient(server.config()) as client, pytest.raises(kind, match=text):
        client.search_read("party.party", [], {"credit_limit_amount": "number"})
    assert "model.party.party.search_read" not in [method for method, _ in server.seen]


@pytest.mark.parametrize(("company_filter", "is_visible"), [("one", False), ("all", True)])
def test_a_company_that_the_filter_of_the_user_hides(company_filter: str, is_visible: bool) -> None:
    """Access rules follow the user's own filter: every read of the other company would be empty, without an error."""
    preferences = {"company": 1, "companies": [1, 2], "company_filter": company_filter}
    rows = [{**COMPANY[0], "id": 2}]
    script = {"common.db.login": [[2, "token", None]], PREFER: [preferences], READ: [rows]}
    with serve(script) as server, TrytonClient(server.config(company=2)) as client:
        if is_visible:
            assert client.company.id == 2
        else:
            with pytest.raises(ConfigurationFault, match="sees only its current company 1, not 2"):
                _ = client.company


@pytest.mark.parametrize("rows", [{"id": 1}, [{"name": "no id"}], ["text"], [{"id": True}], None])
def test_an_answer_that_is_no_list_of_records(rows: Any) -> None:
    """A changed proxy or server must stop the read, not end it as if nothing were there."""
    script = {
        "common.db.login": [[2, "token", None]],
        PREFER: [PREFERENCES],
        READ: [COMPANY],
        "model.party.party.search_read": [rows],
    }
    with serve(script) as server, TrytonClient(server.config()) as client, pytest.raises(ProtocolViolation):
        client.search_read("party.party", [], {"name": "text"})
