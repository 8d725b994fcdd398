"""Documentation is tested against the code."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_page_of_quantities_is_what_the_table_says():
    spec = importlib.util.spec_from_file_location("quantities", ROOT / "docs" / "quantities.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "run: python docs/quantities.py"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_to_a_file_leads_to_one(page):
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_file_that_is_named_exists(page):
    """A word in backquotes that looks like a path of ours."""
    named = set(
        re.findall(
            r"`((?:hinomi|sensing|edge|cloud|firmware_sim|dashboards|docs|deploy|bench|tests)/[\w./-]+)`",
            page.read_text("utf-8"),
        )
    )
    named = {name for name in named if "NAME" not in name}
    missing = {name for name in named if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists()}
    assert missing == set()
