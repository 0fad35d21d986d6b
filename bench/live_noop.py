"""FastAPI with a route that does nothing, by the uvicorn that serves the hub: what any answer costs."""

from __future__ import annotations

import json
import socket
import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/nothing")
async def nothing() -> dict[str, bool]:
    """Nothing."""
    return {"ok": True}


def main() -> int:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none")).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
