"""`counterfoil connector new`: what it writes is a project that installs, is found and passes the kit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from connectors.scaffold.generate import generate
from crm_core.errors import ConfigurationFault


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new connector, installed into a folder of its own as pip does it."""
    made = generate("sage_x3", tmp_path_factory.mktemp("work"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(made / "site"), str(made)], check=True, timeout=110)
    return made


def run(project: Path, *command: str) -> str:
    paths = os.pathsep.join([str(project / "site"), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, timeout=110, cwd=project
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_by_its_name_like_one_of_ours(project: Path) -> None:
    assert "sage_x3" in run(project, "cli", "connectors")
    assert "SageX3" in run(project, "cli", "describe", "sage_x3")


def test_its_kit_test_passes_as_written(project: Path) -> None:
    """Not all of it: the same code under its first name passes all of it in test_acme.py."""
    choice = "arrives_once or mappings_fit or page_size"
    told = run(project, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(project), "tests", "-k", choice)
    assert " passed" in told
    assert "skipped" not in told


def test_nothing_of_the_example_s_name_is_left(project: Path) -> None:
    for file in [*project.glob("*.*"), *project.glob("counterfoil_sage_x3/**/*.*"), *project.glob("tests/*")]:
        if file.is_file() and file.suffix != ".pyc":
            assert "acme" not in file.read_text().lower(), file


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Sage", "'Sage' is no name for a connector: small letters, digits and _, e.g. sage_x3"),
        ("xero", "there is a connector 'xero' already"),
        ("../x", "'../x' is no name for a connector"),
    ],
)
def test_a_name_that_is_none_writes_nothing(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        generate(name, tmp_path)
    assert text in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "counterfoil-mine").mkdir()
    done = CliRunner().invoke(main, ["connector", "new", "mine", "--folder", str(tmp_path)])
    assert (done.exit_code, list((tmp_path / "counterfoil-mine").iterdir())) == (2, [])
    assert "is there already; nothing was written" in done.stderr
