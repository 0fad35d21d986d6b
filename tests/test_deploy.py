"""The files to deploy with: read as their readers read them, and every command line in them held against the commands.

No image is built and no unit is started here: that needs Docker, and a machine that systemd runs.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_docs import fault_of

ROOT = Path(__file__).resolve().parents[1]
UNITS = sorted((ROOT / "deploy").glob("counterfoil-*"))


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, the rest), lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # systemd minds the case
    parser.read(path, encoding="utf-8")
    return parser


def command_lines() -> Iterator[tuple[str, str]]:
    """(where it stands, what follows `counterfoil`)."""
    for name, service in compose()["services"].items():
        if "command" in service:
            yield f"compose.yaml:{name}", shlex.join(service["command"])
    for word, rest in dockerfile():
        if word == "CMD":
            yield "Dockerfile", shlex.join(json.loads(rest))
    for path in UNITS:
        if path.suffix == ".service":
            yield path.name, unit(path)["Service"]["ExecStart"].partition(" ")[2]


@pytest.mark.parametrize(("place", "words"), [pytest.param(*one, id=one[0]) for one in command_lines()])
def test_every_command_line_exists(place: str, words: str) -> None:
    """A service that calls what is not there comes up on nobody's machine."""
    from cli import main

    assert fault_of(words, main) is None, place


def test_the_compose_file_is_a_database_a_scheduler_two_workers_and_the_api() -> None:
    """One part that is missing, or that does not wait for the database, and nothing runs by itself."""
    services = compose()["services"]
    assert list(services) == ["database", "scheduler", "worker", "api"]
    assert services["worker"]["deploy"]["replicas"] == 2
    for name in ("scheduler", "worker", "api"):
        assert services[name]["depends_on"] == {"database": {"condition": "service_healthy"}}
        assert services[name]["volumes"][0] == "./counterfoil.toml:/etc/counterfoil/counterfoil.toml:ro"
    assert services["api"]["ports"] == ["127.0.0.1:8321:8321"], "nobody but a proxy of this machine reaches it"
    volumes = {one.partition(":")[0] for service in services.values() for one in service.get("volumes", ())}
    assert {one for one in volumes if not one.startswith(".")} == set(compose()["volumes"])


def test_the_image_is_built_of_what_the_project_has() -> None:
    """An extra that is not there is only a warning of pip: the image would come up without PostgreSQL."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = "\n".join(f"{word} {rest}" for word, rest in dockerfile())
    (named,) = re.findall(r"\$\{wheel\}\[([\w,]+)\]", text)
    extras = set(named.split(","))
    assert extras <= set(project["optional-dependencies"])
    assert extras >= {"http", "postgresql", "fleet"}, "what the services of compose.yaml need"
    copied = [rest.split()[0] for word, rest in dockerfile() if word == "COPY" and not rest.startswith("--from")]
    assert [one for one in copied if not (ROOT / one).exists()] == []
    (entry,) = [json.loads(rest) for word, rest in dockerfile() if word == "ENTRYPOINT"]
    assert entry[0] in project["scripts"]
    assert ("USER", "counterfoil") in dockerfile(), "not as root"


def test_the_image_and_the_services_agree_where_the_settings_are() -> None:
    """Settings that are mounted elsewhere are not found."""
    (environment,) = [rest for word, rest in dockerfile() if word == "ENV"]
    file = dict(pair.split("=", 1) for pair in environment.split())["COUNTERFOIL_CONFIG"]
    assert compose()["services"]["api"]["volumes"][0].split(":")[1] == file
    for path in UNITS:
        if path.suffix == ".service":
            assert f"COUNTERFOIL_CONFIG={file}" in unit(path)["Service"]["Environment"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_every_unit_can_be_read_and_has_what_it_belongs_to(path: Path) -> None:
    """systemd leaves out what it does not understand, and says so in a log that nobody reads."""
    found = unit(path)
    assert found["Unit"]["Description"].startswith("Counterfoil: ")
    if path.suffix == ".timer":
        assert path.with_suffix(".service") in UNITS
        assert set(found.sections()) == {"Unit", "Timer", "Install"}
        return
    service = found["Service"]
    assert service["ExecStart"].startswith("/opt/counterfoil/bin/counterfoil ")
    assert service["User"] == "counterfoil"
    assert service["Type"] in ("exec", "oneshot")
    assert ("Restart" in service) == (service["Type"] == "exec")
    assert ("Install" in found) == (service["Type"] == "exec"), "what runs once is started by its timer"


def test_units_of_docs_are_those_of_the_folder() -> None:
    """A page that names units which are not there costs somebody an evening."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    named = set(re.findall(r"counterfoil-[a-z]+@?\w*\.(?:service|timer)", text))
    files = {path.name for path in UNITS}
    assert {re.sub(r"@\w+\.", "@.", name) for name in named} <= files
    assert {re.sub(r"@\w+\.", "@.", name) for name in named} == files


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here (package systemd)")
def test_systemd_has_nothing_to_say_of_the_units(tmp_path: Path) -> None:
    """A key that systemd does not know is only a warning in its log: the unit would run without what it asks for."""
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/counterfoil/bin/counterfoil", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(map(str, tmp_path.iterdir()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    mine = [line for line in told.stderr.splitlines() if "counterfoil" in line]
    assert (told.returncode, mine) == (0, [])
