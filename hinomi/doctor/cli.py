"""``hinomi doctor --config FILE``: a station's or the service's, told by what stands in it."""

import argparse
import asyncio
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path

from edge.clock import kernel_synced
from hinomi.clock import SystemClock
from hinomi.config import read_toml
from hinomi.doctor.findings import Around, Findings
from hinomi.errors import ConfigError

_SIGNS = {"ok": "ok  ", "look": "LOOK", "fail": "FAIL"}
_WRONG = 2
# Tables that only one of the two has.
_STATION = {"station", "sensor", "intake", "uplink"}
_SERVICE = {"store", "database", "http", "ingest", "limits", "broker_files"}


def main(argv: Sequence[str]) -> int:
    """Print the findings; 0 when it will work, 2 when a person has something to put right.

    Raises:
        ConfigError: the configuration itself is at fault, all of it at once.
    """
    parser = argparse.ArgumentParser(
        prog="hinomi doctor",
        description="Check a configuration, its servers, its devices and the clock. Nothing is changed, and what "
        "runs is not disturbed. Run it as the user that the agent or the service runs as.",
    )
    parser.add_argument("--config", type=Path, required=True, help="edge.toml or cloud.toml")
    return asyncio.run(_show(_patient(parser.parse_args(argv).config)))


def _patient(path: Path) -> Findings:
    """The findings of what the file configures; the other side's packages need not be installed."""
    tables = read_toml(path).keys()
    if tables & _STATION:
        side, extra = "station", "edge"
    elif tables & _SERVICE:
        side, extra = "service", "cloud"
    else:
        raise ConfigError.of(str(path), "has neither [station] (an agent's) nor [store] (the service's)")
    try:
        module = importlib.import_module(f"hinomi.doctor.{side}")
    except ModuleNotFoundError as error:
        words = (
            f"this is a file of the {side}, which needs the package {error.name!r}: pip install 'hinomi[{extra}]'"
        )
        raise ConfigError.of(str(path), words) from error
    look: Callable[[Path, Around], Findings] = module.look
    return look(path, Around(SystemClock(), kernel_synced()))


async def _show(findings: Findings) -> int:
    verdicts = set()
    async for finding in findings:
        print(f"{_SIGNS[finding.verdict]}  {finding.what}: {finding.words}", flush=True)
        verdicts.add(finding.verdict)
    if "fail" in verdicts:
        print("Something has to be put right: FAIL.")
        return _WRONG
    print("It will work; read what is marked LOOK." if "look" in verdicts else "It will work.")
    return 0
