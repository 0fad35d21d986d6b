"""The thinnest hub that could be: FastAPI, one call by urllib3 on a thread, the body passed on. It keeps nothing, knows
nothing, guards nothing: what any hub in Python adds on this machine.

`python -m bench.live_thin URL` prints `{"port": N}` and ends with its standard input. `GET /thin/...` asks URL/....
"""

from __future__ import annotations

import json
import socket
import sys

import urllib3
import uvicorn
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response

_TIMEOUT = urllib3.Timeout(connect=5, read=10)


def application(office: str) -> FastAPI:
    """Over one back office."""
    app = FastAPI()
    pool = urllib3.connection_from_url(office, maxsize=40, retries=False)

    @app.get("/thin/{target:path}")
    async def passed_on(request: Request, target: str) -> Response:
        """The body as it came."""

        def ask() -> bytes:
            return bytes(pool.urlopen("GET", f"/{target}?{request.url.query}", timeout=_TIMEOUT).data)

        return Response(await run_sync(ask), media_type="application/json")

    return app


def main(arguments: list[str]) -> int:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        config = uvicorn.Config(application(arguments[0]), log_config=None, access_log=False, ws="none")
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
