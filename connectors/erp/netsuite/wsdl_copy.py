"""`python -m connectors.erp.netsuite.wsdl_copy ACCOUNT FOLDER` fetches the account's WSDL and the XSDs behind it.

A connection works with a local copy: NetSuite's own files refer to each other by web addresses, and 45 of them would be
asked for at every start. The copies refer to each other by where they lie.
"""

from __future__ import annotations

import argparse
import posixpath
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from connectors.config import ConnectionConfig
from connectors.erp.netsuite.config import VERSION, address_of
from connectors.transport.http import HttpClient
from crm_core.errors import CounterfoilError, ProtocolViolation

WSDL_PATH = f"/wsdl/v{VERSION}_0/netsuite.wsdl"
NAME = "netsuite.wsdl"
MOST_FILES = 200

_REFERRING = ("{http://www.w3.org/2001/XMLSchema}import", "{http://www.w3.org/2001/XMLSchema}include")

Get = Callable[[str], bytes]


def copy_wsdl(get: Get, folder: Path) -> list[Path]:
    """Fetch the WSDL and all that it imports, each by its path on the account's host, into a folder: what was written.

    The WSDL lies in the folder itself, an XSD under its own path. Hosts in the addresses are not followed: every file
    is asked for from the account's own. Raises ProtocolViolation, and what `get` raises; then nothing was written.
    """
    from lxml import etree

    from connectors.transport.soap_rows import parse_safely

    texts: dict[str, bytes] = {}
    waiting = [WSDL_PATH]
    while waiting:
        path = waiting.pop()
        if path in texts:
            continue
        if len(texts) == MOST_FILES:
            raise ProtocolViolation(f"the WSDL refers to more than {MOST_FILES} files", operation="GET WSDL")
        root = parse_safely(get(path))
        for node in root.iter(*_REFERRING):
            location = node.get("schemaLocation")
            if location is not None:
                target = urlsplit(urljoin(path, location)).path
                node.set("schemaLocation", posixpath.relpath(_place(target), posixpath.dirname(_place(path)) or "."))
                waiting.append(target)
        texts[path] = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    written = []
    for path, text in texts.items():
        file = folder / _place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
        written.append(file)
    return written


def _place(path: str) -> str:
    """Where a file lies below the folder. Raises ProtocolViolation for a path that leads out of it."""
    if path == WSDL_PATH:
        return NAME
    place = posixpath.normpath(path).lstrip("/")
    if place in ("", ".") or place.startswith("..") or set(place) & set("\\:%"):
        raise ProtocolViolation(f"the WSDL refers to {path[:100]!r}", operation="GET WSDL")
    return place


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m connectors.erp.netsuite.wsdl_copy", description=__doc__)
    parser.add_argument("account", help="account id, 1234567_SB1; or the address of its host")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    host = options.account if "://" in options.account else address_of(options.account)
    try:
        with HttpClient(ConnectionConfig(), host, headers={"Accept": "*/*"}) as http:
            written = copy_wsdl(lambda path: http.get(path, operation="GET WSDL").body, options.folder)
    except CounterfoilError as error:
        parser.exit(1, f"{error}\n")
    print(f'{len(written)} files; in the settings: wsdl = "{written[0]}"')  # noqa: T201 - this is the program's output
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
