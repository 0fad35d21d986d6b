"""Runs a console script (trytond) until our standard input closes: `serve.py PATH ARGUMENTS...`.

The parent holds the other end of that pipe, so the server ends with its parent whatever ends the parent, kill -9
included.
"""

import os
import runpy
import sys
import threading


def end_with_parent() -> None:
    while os.read(0, 1024):  # nothing is ever written: this returns at end of file only
        pass
    os._exit(0)  # a thread has no other way to end the server's loop


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
