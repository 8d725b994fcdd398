"""``hinomi cloud``: run the service, check its configuration, look after its quarantine, erase readings."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Sequence
from pathlib import Path

from cloud.cli import erase, quarantine
from cloud.config import CloudConfig, load_config
from cloud.db import Database
from cloud.link.section import tls_context
from cloud.service import run

DEFAULT_CONFIG = Path("/etc/hinomi/cloud.toml")


def main(argv: Sequence[str]) -> int:
    """Run ``hinomi cloud run|check|quarantine|erase``."""
    arguments = _parser().parse_args(argv)
    config = load_config(arguments.config)
    match arguments.action:
        case "run":
            return _run(config)
        case "check":
            tls_context(config.broker)
            Database(config.database.url).close()
            print(f"{arguments.config} is in order. 'hinomi doctor' asks the servers that it names.")
            return 0
        case "erase":
            return asyncio.run(erase.run(arguments, config))
        case _:
            return asyncio.run(quarantine.run(arguments, config))


def _run(config: CloudConfig) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")

    async def serve() -> None:
        task = asyncio.ensure_future(run(config, lambda line: print(line, flush=True)))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    asyncio.run(serve())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hinomi cloud", description="The cloud service.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="run|check|quarantine|erase")
    service = actions.add_parser("run", help="serve until SIGTERM")
    check = actions.add_parser("check", help="say what is wrong with the configuration, all of it")
    for action in (service, check):
        action.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    quarantine.add_parser(actions.add_parser("quarantine", help="what was set aside, and why"), DEFAULT_CONFIG)
    erase.add_parser(actions.add_parser("erase", help="delete stored readings for good"), DEFAULT_CONFIG)
    return parser
