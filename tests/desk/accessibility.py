"""What a page must have so that people who do not see it, or use no mouse, can use it. Run inside the browser, on the
page as it is drawn: contrast is computed from the colours in force.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

_CHECKS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def faults_of(page: Page) -> list[str]:
    """What is wrong with the page for somebody who hears it, has no mouse, or a narrow window."""
    found: list[str] = page.evaluate(_CHECKS)
    return found


def what_has_focus(page: Page) -> str:
    """The name of the element that the keyboard is at; raises AssertionError when nothing shows that it is there."""
    name, is_seen = page.evaluate(
        """() => {
          const element = document.activeElement;
          const style = getComputedStyle(element);
          const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
          return [element.id || element.getAttribute("aria-label") || element.textContent.trim(), isSeen];
        }"""
    )
    assert is_seen, f"nothing shows that the keyboard is at {name!r}"
    return str(name)
