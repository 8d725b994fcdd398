"""Every `hinomi …` that a page tells to type is one that the program understands."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from cloud.cli import main as cloud
from cloud.cli import station
from edge import cli as edge
from hinomi.cli import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PARSERS = {"edge": edge._parser, "cloud": cloud._parser, "station": station._parser}
# After these words a command line goes on.
_BEFORE = re.compile(rf"(?:^|[\s/`])hinomi\s+(?=(?:{'|'.join(COMMANDS)})\b)")


def typed() -> list[tuple[str, str]]:
    """(page, arguments) of the commands in code blocks."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = _BEFORE.split(line, maxsplit=1)
                if len(command) == 2:
                    rest = re.split(r"\s+#|[;&|]{1,2}\s|\s>", command[1], maxsplit=1)[0]
                    found.append((str(page.relative_to(ROOT)), rest.strip()))
    return found


@pytest.mark.parametrize(("page", "line"), typed())
def test_a_command_on_a_page_is_one_that_hinomi_has(page, line):
    name, *arguments = shlex.split(line)
    if name not in PARSERS:
        assert name in COMMANDS
        return
    said = io.StringIO()
    with (
        contextlib.suppress(SystemExit),
        contextlib.redirect_stderr(said),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        PARSERS[name]().parse_args(arguments)
    assert said.getvalue() == "", page


def test_there_are_some():
    assert len(typed()) > 15
