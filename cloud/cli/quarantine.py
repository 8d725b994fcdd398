"""``hinomi cloud quarantine``: asks the running service, or opens the journal where none is running."""

import argparse
import asyncio
import base64
import contextlib
import datetime as dt
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cloud.config import CloudConfig
from cloud.db import Database
from cloud.fleet.registry import Registry
from cloud.ingest.hatch import Request, answer, ask, socket_path
from cloud.ingest.ingest import Ingest
from cloud.service import open_journal, settings
from hinomi.clock import SystemClock, measurement_clock
from hinomi.disk import Disk

_PAGE = 500
_SHOWN = 2000

Row = dict[str, Any]


def add_parser(parser: argparse.ArgumentParser, default_config: Path) -> None:
    """The arguments."""
    actions = parser.add_subparsers(dest="op", required=True, metavar="list|show|replay|delete")
    listing = actions.add_parser("list", help="what is there, oldest first")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    show = actions.add_parser("show", help="one row with its body")
    show.add_argument("ids", type=int, nargs="+", metavar="ID")
    replay = actions.add_parser("replay", help="judge rows again, after what was wrong has been put right")
    delete = actions.add_parser("delete", help="give rows up; their readings count as written off")
    for action in (replay, delete):
        action.add_argument("ids", type=int, nargs="*", metavar="ID")
        action.add_argument("--all", action="store_true", help="every row (with --reason or --source: of those)")
    for action in (listing, replay, delete):
        action.add_argument("--reason", help="only rows with this reason, e.g. wrong_unit")
        action.add_argument("--source", help="only rows of this COMMUNITY/STATION")
    for action in (listing, show, replay, delete):
        action.add_argument("--config", type=Path, default=default_config, help=f"default {default_config}")


async def run(arguments: argparse.Namespace, config: CloudConfig) -> int:
    """Do one of them; exit 0, or 1 when a row could not be had, replayed or deleted."""
    async with _desk(config) as desk:
        match arguments.op:
            case "list":
                async for row in _rows(desk, arguments):
                    print(json.dumps(row, ensure_ascii=False) if arguments.json else _line(row))
                return 0
            case "show":
                return _shown(await desk(Request("show", arguments.ids)))
        ids = arguments.ids
        if arguments.all:
            ids = [row["id"] async for row in _rows(desk, arguments)]
        if not ids:
            print("no row is named, and none fits", file=sys.stderr)
            return 1
        return _told(await desk(Request(arguments.op, ids)), arguments.op)


Desk = Callable[[Request], Any]


@contextlib.asynccontextmanager
async def _desk(config: CloudConfig) -> Any:
    """Something that answers requests."""
    path = socket_path(config.journal.path)
    if await ask(path, Request("list", limit=1)) is not None:
        yield lambda request: ask(path, request)
        return
    async with Disk() as disk, open_journal(config, disk) as journal:
        database = await disk.run(lambda: Database(config.database.url, disk))
        registry = await disk.run(lambda: Registry(database))
        clock = measurement_clock(config.clock, broker_host=config.broker.host)
        ingest = Ingest(journal, disk, registry, settings(config), clock=clock, pace=SystemClock())
        await ingest.load()
        task = asyncio.create_task(ingest.committer.run())
        try:
            yield lambda request: answer(ingest.desk, request)
        finally:
            task.cancel()
            await asyncio.wait([task])
            await disk.run(database.close)


async def _rows(desk: Desk, arguments: argparse.Namespace) -> Any:
    after = 0
    while True:
        rows = (await desk(Request("list", after=after, limit=_PAGE)))["rows"]
        if not rows:
            return
        for row in rows:
            if arguments.reason in {None, row["reason"]} and arguments.source in {None, row["source"]}:
                yield row
        after = rows[-1]["id"]


def _line(row: Row) -> str:
    head = f"{row['id']:>6}  {_when(row)}  {row['source']:<24} {row['reason']:<18}"
    return f"{head} {row['readings']:>4}  {row['detail']}"


def _when(row: Row) -> str:
    return dt.datetime.fromtimestamp(row["at"] / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(said: Row) -> int:
    if "error" in said:
        print(said["error"], file=sys.stderr)
        return 1
    for row in said["rows"]:
        print("\n".join(_lines(row)))
    return 0


def _lines(row: Row) -> Iterator[str]:
    body = base64.b64decode(row["body"])
    yield f"{row['id']}  {row['source']}  {_when(row)}"
    yield f"reason    {row['reason']}"
    yield f"detail    {row['detail']}"
    yield f"readings  {row['readings']}"
    yield f"body      {len(body)} bytes"
    text = body[:_SHOWN].decode("utf-8", "backslashreplace")
    yield text if text.isprintable() else body[:_SHOWN].hex(" ")
    if len(body) > _SHOWN:
        yield f"… {len(body) - _SHOWN} bytes more"
    yield ""


def _told(said: Row, op: str) -> int:
    if "error" in said:
        print(said["error"], file=sys.stderr)
        return 1
    failed = 0
    for result in said["results"]:
        done = result["done"]
        failed += not done
        print(
            f"{result['id']:>6}  {result['note']}"
            + (f" ({result['taken']} readings)" if op == "replay" and done else "")
        )
    return 1 if failed else 0
