"""``hinomi doctor --config FILE``: a station's or the service's, told by what stands in it."""

import argparse
import asyncio
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from hinomi.config import read_toml
from hinomi.doctor.findings import Findings
from hinomi.errors import ConfigError

_SIGNS = {"ok": "ok  ", "look": "LOOK", "fail": "FAIL"}
_WRONG = 2


def main(argv: Sequence[str]) -> int:
    """Print the findings; 0 when it will work, 2 when a person has something to put right.

    Raises:
        ConfigError: the configuration itself is at fault, all of it at once.
    """
    parser = argparse.ArgumentParser(
        prog="hinomi doctor", description="Check a configuration, its servers, its devices and the clock."
    )
    parser.add_argument("--config", type=Path, required=True, help="edge.toml or cloud.toml")
    return asyncio.run(_show(_patient(parser.parse_args(argv).config)))


def _patient(path: Path) -> Findings:
    """The findings of what the file configures; the other side's packages need not be installed."""
    tables = read_toml(path)
    if "station" in tables:
        side = "station"
    elif "store" in tables:
        side = "service"
    else:
        raise ConfigError.of(str(path), "has neither [station] (an agent's) nor [store] (the service's)")
    look: Callable[[Path], Findings] = importlib.import_module(f"hinomi.doctor.{side}").look
    return look(path)


async def _show(findings: Findings) -> int:
    failed = False
    async for finding in findings:
        print(f"{_SIGNS[finding.verdict]}  {finding.what}: {finding.words}", flush=True)
        failed = failed or finding.verdict == "fail"
    print("Something has to be put right." if failed else "It will work.")
    return _WRONG if failed else 0
