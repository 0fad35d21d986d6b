"""JSON-RPC: an error inside HTTP 200 is an error, and an answer that is not ours is not taken for one."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from connectors.config import ConnectionConfig
from connectors.transport.http import HttpClient
from connectors.transport.json_pages import page_reader
from connectors.transport.json_rpc import JsonRpc
from crm_core.errors import ConnectorError, OutcomeUnknown, ProtocolViolation, ValidationRejected

Reply = Callable[..., bytes]


def error_of(error: Any, operation: str) -> ConnectorError:
    return ValidationRejected(f"{error[0]}: {error[1][0]}", operation=operation)


@pytest.fixture
def rpc(loopback: Any, monkeypatch: pytest.MonkeyPatch) -> JsonRpc:
    monkeypatch.setattr("connectors.transport.json_rpc.secrets.randbelow", lambda bound: 0)
    return JsonRpc(HttpClient(ConnectionConfig(attempts=1), loopback.url), "/erp/rpc/", error_of)


def test_the_envelope_holds_exactly_what_tryton_accepts(loopback: Any, answer: Reply, rpc: JsonRpc) -> None:
    loopback.script = [answer(body=b'{"id": 1, "result": [1.10, null]}'), answer(body=b'{"id":2,"result":null}')]
    got = rpc.call("model.party.party.read", [1], {"company": 1}, is_safe_to_repeat=True)
    assert got == [Decimal("1.10"), None]
    assert rpc.call("m", is_safe_to_repeat=True) is None
    assert [json.loads(seen.body) for seen in loopback.seen] == [
        {"id": 1, "method": "model.party.party.read", "params": [[1], {"company": 1}]},
        {"id": 2, "method": "m", "params": []},
    ]
    assert loopback.seen[0].target == "/erp/rpc/"


def test_a_result_can_be_cut_without_being_parsed(loopback: Any, answer: Reply, rpc: JsonRpc) -> None:
    loopback.script = [answer(body=b'{"id": 1, "result": [{"id": 4, "n": 1}, {"id": 5}]}')]
    cut = page_reader(None, "id")(rpc.call_raw("m", is_safe_to_repeat=True))
    assert [(r.external_id, bytes(r.payload)) for r in cut.records] == [
        ("4", b'{"id": 4, "n": 1}'),
        ("5", b'{"id": 5}'),
    ]


def test_an_error_inside_http_200_is_raised(loopback: Any, answer: Reply, rpc: JsonRpc) -> None:
    loopback.script = [answer(body=b'{"id": 1, "error": ["UserError", ["no such thing", "", null]]}')]
    with pytest.raises(ValidationRejected) as caught:
        rpc.call("m", is_safe_to_repeat=False, operation="post the invoice")
    assert str(caught.value) == "post the invoice: UserError: no such thing"


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"id": 1}', b'{"id": 7, "result": []}', b"[]", b"<html>", b'{"id": 1, "result": [', b'{"result": []}'],
)
@pytest.mark.parametrize(("is_safe", "expected"), [(True, ProtocolViolation), (False, OutcomeUnknown)])
def test_an_answer_that_is_no_envelope_of_this_call(
    loopback: Any, answer: Reply, rpc: JsonRpc, body: bytes, is_safe: bool, expected: type
) -> None:
    loopback.script = [answer(body=body)]
    with pytest.raises(expected) as caught:
        rpc.call("m", is_safe_to_repeat=is_safe)
    assert type(caught.value) is expected


def test_the_answer_to_another_clients_first_call_is_not_taken_for_ours(loopback: Any, answer: Reply) -> None:
    """A proxy that repeats an answer would otherwise hand a sign-in's session to whoever asks first."""
    first, second = (JsonRpc(HttpClient(ConnectionConfig(attempts=1), loopback.url), "/", error_of) for _ in range(2))
    loopback.script = [answer(body=b"{}")]
    with pytest.raises(ProtocolViolation):
        first.call("a", is_safe_to_repeat=True)
    sent = json.loads(loopback.seen[0].body)["id"]
    loopback.script = [answer(body=b'{"id": %d, "result": []}' % sent)]
    with pytest.raises(ProtocolViolation, match="the answer is that of call"):
        second.call("b", is_safe_to_repeat=True)
