"""``hinomi cloud erase``: readings of a community or a station, gone from both stores.

It asks the running service, which also forgets them where it holds them in memory, or opens the stores where no
service is running. What a station still holds, or what is on its way, arrives afterwards: stop the station first.
"""

import argparse
import datetime as dt
import sys
from pathlib import Path

from cloud.config import CloudConfig
from cloud.db import Database
from cloud.ingest.hatch import Request, ask, socket_path
from cloud.store.personal import PersonalStore
from cloud.store.routing import RoutedStore
from hinomi.clock import SystemClock
from hinomi.disk import Disk
from hinomi.errors import ConfigError, HinomiError
from sensing.topic import StationId


def add_parser(parser: argparse.ArgumentParser, default_config: Path) -> None:
    """The arguments."""
    parser.add_argument("whose", metavar="COMMUNITY[/STATION]", help="whose readings")
    parser.add_argument("--before", metavar="DATE", help="only those measured before it, e.g. 2026-04-01")
    parser.add_argument("--yes", action="store_true", help="do it; without it nothing is deleted")
    parser.add_argument("--config", type=Path, default=default_config, help=f"default {default_config}")


async def run(arguments: argparse.Namespace, config: CloudConfig) -> int:
    """Erase; exit 0, or 1 when it was not confirmed or the store could not do it.

    Raises:
        ConfigError: the name or the date cannot be read.
    """
    request = _request(arguments.whose, arguments.before)
    what = f"all readings of {arguments.whose}" + (
        f" measured before {arguments.before}" if arguments.before else ""
    )
    if not arguments.yes:
        print(f"This deletes {what} for good. Add --yes to do it.", file=sys.stderr)
        return 1
    said = await ask(socket_path(config.journal.path), request)
    if said is None:
        said = await _alone(request, config)
    if "error" in said:
        print(f"not erased: {said['error']}", file=sys.stderr)
        return 1
    print(f"Erased {what}.")
    return 0


def _request(whose: str, before: str | None) -> Request:
    try:
        station = StationId.parse(whose if "/" in whose else f"{whose}/x")
    except ValueError as error:
        raise ConfigError.of("COMMUNITY[/STATION]", str(error)) from error
    try:
        limit = None if before is None else round(dt.datetime.fromisoformat(before).timestamp() * 1000)
    except ValueError as error:
        raise ConfigError.of("--before", f"got {before!r}, expected a date, e.g. 2026-04-01: {error}") from error
    return Request(
        "erase", community=station.community, station=station.station if "/" in whose else None, before=limit
    )


async def _alone(request: Request, config: CloudConfig) -> dict[str, object]:
    async with Disk("database") as disk:
        database = await disk.run(lambda: Database(config.database.url, disk))
        store = RoutedStore(await config.store.open(SystemClock()), PersonalStore(database))
        try:
            await store.erase(request.community, station=request.station, before=request.before)
        except HinomiError as error:
            return {"error": str(error)}
        finally:
            await store.close()
            await disk.run(database.close)
    return {"erased": True}
