"""The documents tell the truth about what can be checked: links, tests, commands, dependencies. A reader who follows
them never ends at something that is not there.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).resolve().parents[1]
_LEFT_OUT = {"build", "dist", "node_modules", "__pycache__"}

_FENCE = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HTML_LINK = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
_COMMAND = re.compile(r"^\s*(?:[$>] +)?(?:\.venv/bin/)?counterfoil +(.+)$")
_COMMAND_NAME = re.compile(r"[a-z][a-z-]*")

# put together here, so that this file does not hold what it looks for
_MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:" + "|".join(("work", "root", "tmp", "home", "Users", "mnt")) + r")/\w")


@cache
def project_files() -> tuple[Path, ...]:
    """What git keeps or would keep; where there is no git (a source archive), every file that is not hidden."""
    try:
        listed = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
            timeout=30,
        ).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        found = [path for path in ROOT.rglob("*") if not _is_hidden(path.relative_to(ROOT))]
    else:
        found = [ROOT / name for name in listed.split("\0") if name]
    return tuple(sorted(path for path in found if path.is_file()))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in _LEFT_OUT or part.endswith(".egg-info") for part in path.parts)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


DOCUMENTS = [path for path in project_files() if path.suffix == ".md"]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=named)


# -- links ------------------------------------------------------------------------------------------------------------


def links_of(text: str) -> list[str]:
    """The targets of links and pictures, those in code left out."""
    prose = _SPAN.sub("", _FENCE.sub("", text))
    return _LINK.findall(prose) + _HTML_LINK.findall(prose)


def anchors_of(text: str) -> set[str]:
    """The anchors that a code host makes of the headings."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.add(f"{anchor}-{found[anchor]}" if anchor in found else anchor)
        found[anchor] = found.get(anchor, 0) + 1
    return anchors


def broken_links(document: Path) -> Iterator[str]:
    text = document.read_text(encoding="utf-8")
    for link in links_of(text):
        if re.match(r"[a-z][a-z+.-]*:", link):
            continue  # another site: not asked for here
        path, _, anchor = link.partition("#")
        target = document if not path else document.parent / path
        if not target.exists():
            yield f"{link}: there is no such file"
        elif ROOT not in target.resolve().parents:
            yield f"{link}: leads out of the project"
        elif anchor and target.suffix == ".md" and anchor not in anchors_of(target.read_text(encoding="utf-8")):
            yield f"{link}: there is no such heading"


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    assert list(broken_links(document)) == []


# -- tests ------------------------------------------------------------------------------------------------------------


@cache
def functions_of(file: str) -> frozenset[str]:
    """The test functions of a file; empty when there is no such file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@each_document
def test_every_test_that_is_named_exists(document: Path) -> None:
    named_tests = _TEST.findall(document.read_text(encoding="utf-8"))
    assert [f"{file}::{test}" for file, test in named_tests if test not in functions_of(file)] == []


def test_every_guarantee_names_a_test_that_shows_it() -> None:
    text = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
    guarantees = text.partition("\n## The guarantees\n")[2].partition("\n## ")[0].split("\n### ")[1:]
    assert len(guarantees) >= 10
    assert [part.partition("\n")[0] for part in guarantees if not _TEST.search(part)] == []


# -- commands ---------------------------------------------------------------------------------------------------------


def commands_of(text: str) -> Iterator[str]:
    """What stands behind `counterfoil` in code spans, and in lines of code blocks that begin with it."""
    for span in _SPAN.findall(_FENCE.sub("", text)):
        if found := _COMMAND.match(" ".join(span.split())):
            yield found.group(1)
    for block in _FENCE.findall(text):
        for line in block.splitlines():
            if found := _COMMAND.match(line):
                yield found.group(1).partition(" #")[0]


def fault_of(arguments: str, main: click.Group) -> str | None:
    """What in a command line is not there: a command or an option. `a|b` names both; capitals stand for arguments."""
    commands: list[click.Command] = [main]
    options = _options_of(main)
    words = iter(arguments.split())
    for word in words:
        word = word.strip("[]().,;'\"")
        if word.startswith("-"):
            option, equals, _ = word.partition("=")
            if option not in options:
                return f"no option {option}"
            if options[option] and not equals:
                next(words, None)
        elif all(isinstance(command, click.Group) for command in commands) and _COMMAND_NAME.match(word):
            group = commands[0]
            assert isinstance(group, click.Group)
            below = [(name, group.commands.get(name)) for name in word.split("|")]
            if unknown := [name for name, command in below if command is None]:
                return f"no command {' '.join(unknown)}"
            commands = [command for _, command in below if command is not None]
            for command in commands:
                options |= _options_of(command)
    return None


def _options_of(command: click.Command) -> dict[str, bool]:
    """The options of a command, and whether a value follows."""
    found = {"--help": False, "-h": False}
    for option in command.params:
        if isinstance(option, click.Option):
            takes_value = not option.is_flag and not option.count
            found |= dict.fromkeys((*option.opts, *option.secondary_opts), takes_value)
    return found


@each_document
def test_every_command_that_is_named_exists(document: Path) -> None:
    from cli import main  # only here: the other tests of this file do not need it

    faults = {words: fault_of(words, main) for words in commands_of(document.read_text(encoding="utf-8"))}
    assert {words: fault for words, fault in faults.items() if fault} == {}


def test_a_command_or_option_that_is_not_there_is_found() -> None:
    from cli import main

    assert fault_of("pull --full", main) is None
    assert fault_of("pull [JOB] --frobnicate", main) == "no option --frobnicate"
    assert fault_of("--config hub.toml frobnicate", main) == "no command frobnicate"
    assert fault_of("dead-letters list|show", main) is None
    assert fault_of("dead-letters list|frobnicate", main) == "no command frobnicate"


@each_document
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    spans = _SPAN.findall(_FENCE.sub("", text))
    lines = [line for block in _FENCE.findall(text) for line in block.splitlines()]
    wanted = {found.group(1) for part in (*spans, *lines) if (found := re.match(r"\s*(?:\$ +)?make ([a-z]+)\b", part))}
    assert wanted - targets == set()


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_every_dependency_has_its_reasons() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {re.split(r"[\[<>=!~; ]", one)[0].lower() for one in wanted}
    text = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([\w.-]+)` \|", text, re.MULTILINE))
    assert explained == names


def test_no_file_names_a_place_on_somebody_s_machine() -> None:
    found = []
    for path in project_files():
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # no text
        found += [
            f"{named(path)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), start=1)
            if _MACHINE_PATH.search(line)
        ]
    assert found == []
