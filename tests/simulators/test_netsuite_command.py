"""`python -m simulators.netsuite`: what an integrator starts by hand to rehearse offline."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import requests

from simulators.clock import utc_now
from simulators.netsuite.__main__ import SECRET_VARIABLE
from simulators.netsuite.server import PATH, Settings
from tests.support.netsuite_calls import NAMESPACES, passport


def test_it_tells_where_it_is_keeps_the_given_secret_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "simulators.netsuite", "--items", "3", "--customers", "2", "--port", "0"]
    environment = {**os.environ, SECRET_VARIABLE: "rehearsal", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(7)]
            shown = {line[:16].strip(): line[16:].strip() for line in lines}
            assert "rehearsal" not in str(shown)
            keys = dict.fromkeys(("consumer_key", "consumer_secret", "token_id", "token_secret"), "rehearsal")
            signed = passport(Settings(account=shown["account"], **keys), int(utc_now().timestamp()))
            text = (
                f'<s:Envelope xmlns:s="{NAMESPACES["s"]}" xmlns:m="{NAMESPACES["m"]}" xmlns:c="{NAMESPACES["c"]}">'
                f"<s:Header>{signed}</s:Header><s:Body><m:getServerTime/></s:Body></s:Envelope>"
            )
            answer = requests.post(f"{shown['base url']}{PATH}", data=text.encode(), timeout=5)
            assert answer.status_code == 200
            assert "serverTime" in answer.text
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
