"""What is installed: exactly our own top-level names, nothing of the tests, nothing that is GPL."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"crm_core", "connectors", "mappings", "sync_jobs", "http_api", "simulators", "terminal"}
MODULES = {"cli.py"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as `pip install counterfoil` would get it, built from a copy and without the network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*MODULES, "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source / file)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)],
        check=True,
        capture_output=True,
        timeout=110,
    )
    (made,) = target.glob("*.whl")
    return zipfile.ZipFile(made)


def test_the_wheel_has_exactly_our_top_level_names(wheel: zipfile.ZipFile) -> None:
    names = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == PACKAGES | MODULES


def test_the_wheel_carries_what_runs_without_a_checkout(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {
        "mappings/defaults/tryton/product.yaml",
        "mappings/defaults/business_central/product.yaml",
        "crm_core/store/migrations/env.py",
        "crm_core/store/migrations/versions/0001_first.py",
        "simulators/tryton_server/requirements.txt",
        "simulators/tryton_server/scripts/seed.py",
        "crm_core/py.typed",
        "http_api/desk/static/desk.css",
        "http_api/desk/templates/base.html",
        "http_api/desk/translations/fa.toml",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "bench/", "docs/"))]


def test_package_inits_hold_a_docstring_only() -> None:
    """Another distribution of the same name may overwrite the file: nothing of ours may be lost with it."""
    for package in PACKAGES:
        for init in (ROOT / package).rglob("__init__.py"):
            lines = [line for line in init.read_text(encoding="utf-8").splitlines() if line.strip()]
            assert lines, init
            assert lines[0].startswith('"""'), init
            assert lines[-1].endswith('"""'), init


def test_installing_counterfoil_brings_no_gpl_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert project["license"] == "Apache-2.0"
    assert not [name for name in named if name.lower().startswith(("trytond", "proteus"))]


def test_only_the_scripts_that_tryton_runs_import_its_client() -> None:
    scripts = ROOT / "simulators" / "tryton_server" / "scripts"
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            if scripts not in file.parents:
                text = file.read_text(encoding="utf-8")
                assert "import proteus" not in text, file
                assert "from proteus" not in text, file
                assert "import trytond" not in text, file


def test_every_direct_dependency_is_pinned_for_reproducible_installs() -> None:
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named = [*data["project"]["dependencies"], *data["dependency-groups"]["dev"]]
    direct = {name.split(">")[0].split("[")[0].split("=")[0].strip().lower().replace("_", "-") for name in named}
    assert direct <= pinned


def test_nothing_imports_the_command_line() -> None:
    for package in PACKAGES - {"terminal"}:
        for file in (ROOT / package).rglob("*.py"):
            for line in file.read_text(encoding="utf-8").splitlines():
                assert not line.startswith(("import cli", "from cli", "import terminal", "from terminal")), file
