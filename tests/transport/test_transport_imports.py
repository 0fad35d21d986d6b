"""A pull of a few thousand changes takes a third of a second, start-up included; heavy libraries must not creep in."""

from __future__ import annotations

import subprocess
import sys


def test_plain_http_imports_neither_soap_nor_what_it_may_never_need() -> None:
    code = (
        "import sys, connectors.transport.odata, connectors.transport.json_rpc, connectors.transport.auth;"
        "heavy = {'zeep', 'lxml', 'tenacity', 'structlog', 'asyncio'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
