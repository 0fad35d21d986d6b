"""`python -m simulators.business_central`: what an integrator starts by hand to rehearse offline."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import requests

from simulators.business_central.__main__ import SECRET_VARIABLE
from simulators.business_central.oauth import SCOPE


def test_it_tells_where_it_is_keeps_the_given_secret_and_ends_on_sigterm() -> None:
    command = [sys.executable, "-m", "simulators.business_central", "--items", "3", "--customers", "2", "--port", "0"]
    environment = {**os.environ, SECRET_VARIABLE: "rehearsal", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            shown = dict(
                re.split(r"\s{2,}|(?<=secret) ", process.stdout.readline().strip(), maxsplit=1) for _ in range(8)
            )
            assert "rehearsal" not in str(shown)
            form = {
                "grant_type": "client_credentials",
                "client_id": shown["client id"],
                "client_secret": "rehearsal",
                "scope": SCOPE,
            }
            token = requests.post(shown["token url"], data=form, timeout=5).json()["access_token"]
            api = f"{shown['url']}/v2.0/{shown['tenant']}/{shown['environment']}/api/v2.0"
            url = f"{api}/companies({shown['company id']})/items/$count"
            answer = requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=5)
            assert answer.text == "3"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=10) == 0
