"""The command line in front of a hub that pushes: a simulated back office of the scaffold, and a real SQLite file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli import main
from connectors.conformance.rig import Rig


@dataclass
class Counter:
    """A rig, and the command run with its configuration."""

    rig: Rig

    @property
    def settings(self) -> Path:
        return self.rig.hub.settings.file

    def run(self, *arguments: str, expect: int = 0) -> Result:
        """Run the command; the exit code is asserted."""
        result = CliRunner().invoke(main, ["--config", str(self.settings), *arguments])
        assert result.exit_code == expect, f"{result.output}\n{result.exception!r}"
        return result

    def data(self, *arguments: str, expect: int = 0) -> Any:
        """What `--json` gives: stdout must be JSON and nothing else."""
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def rows(self, *arguments: str, expect: int = 0) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.run(*arguments, expect=expect).stdout.splitlines()]
