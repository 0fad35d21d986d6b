"""How many examples Hypothesis tries: few enough for every day, more for a long look."""

from __future__ import annotations

import os


def examples(usual: int) -> int:
    """`usual`, times COUNTERFOIL_MORE_EXAMPLES where that is set."""
    return usual * int(os.environ.get("COUNTERFOIL_MORE_EXAMPLES", "1"))
