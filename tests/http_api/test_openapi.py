"""Whatever is asked, the answer is what the description says: schemathesis goes through every route."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.openapi import from_url

from crm_core.access import Scope, new_key
from crm_core.store.access import add_key
from http_api.app import create_app
from sync_jobs.bootstrap import Hub
from sync_jobs.operations import opened
from tests.http_api.conftest import serving

EXAMPLES = 15
"""Of each route, right ones and as many wrong ones; the same in every run."""


@pytest.fixture
def key(hub: Hub) -> str:
    drawn = new_key()
    with opened(hub) as session:
        add_key(session, drawn, "schemathesis", [Scope.ADMIN], hub.clock())
    return drawn.text


def test_no_answer_breaks_the_description(hub: Hub, key: str) -> None:
    """A client made from the description would trip over an answer; an odd request would bring the hub down."""
    faults: list[str] = []
    asked: Counter[str] = Counter()
    with serving(create_app(hub)) as url:
        for found in from_url(f"{url}/openapi.json").get_all_operations():
            operation = found.ok()
            asked[operation.label] = 0
            for mode in GenerationMode:
                try:
                    _ask_all(operation, mode, key, asked)
                except Unsatisfiable:
                    assert mode is GenerationMode.NEGATIVE, operation.label  # it has nothing that could be wrong
                except (FailureGroup, BaseExceptionGroup, AssertionError) as fault:
                    faults.append(f"{operation.label} ({mode}): {fault}")
    assert not faults, "\n\n".join(faults)
    assert min(asked.values()) >= 1
    assert len(asked) > 15


def _ask_all(operation: Any, mode: GenerationMode, key: str, asked: Counter[str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case) -> None:
        asked[operation.label] += 1
        case.call_and_validate(headers={"Authorization": f"Bearer {key}"})

    ask()
