"""The entry point for pytest: a failing assert of the suites shows its values, as one of the test's own would."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("connectors.conformance.reading", "connectors.conformance.writing")
