"""``hinomi edge``: run the agent, check its configuration, ask how it goes, flag what is measured during work."""

import argparse
import asyncio
import json
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edge import maintenance
from edge.clock import boot_id, kernel_synced
from edge.config import EdgeConfig, load
from edge.health import machine_serial
from hinomi.clock import SystemClock
from hinomi.errors import ConfigError

EXIT_NOT_RUNNING = 3


def main(argv: Sequence[str]) -> int:
    """Run one subcommand; returns the exit status (status: 3 when no agent runs).

    Raises:
        ConfigError: a person has something to fix (exit status 2).
    """
    args = _parser().parse_args(argv)
    commands = {"run": _run, "check": _check, "status": _status, "maintenance": _maintenance}
    return commands[args.command](args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hinomi edge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("run", "run the agent until SIGTERM; SIGHUP reads the configuration again"),
        ("check", "read the configuration and name every fault"),
        ("status", "what the agent has accepted, sent and is waiting for"),
        ("maintenance", "flag the readings while somebody works here (ends after two hours)"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, default=Path("/etc/hinomi/edge.toml"), metavar="FILE")
        if name == "run":
            command.add_argument("--verbose", action="store_true", help="log everything")
        if name == "status":
            command.add_argument("--json", action="store_true", help="one JSON object")
        if name == "maintenance":
            command.add_argument("action", choices=("start", "stop"))
    return parser


def _run(args: argparse.Namespace) -> int:
    from edge import agent  # noqa: PLC0415 - the other commands need none of it
    from edge.notify import Notifier  # noqa: PLC0415 - the same
    from edge.orders import Orders  # noqa: PLC0415 - the same

    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    around = agent.Surroundings(
        pace=SystemClock(),
        boot=boot_id(),
        synced=kernel_synced(),
        serial=machine_serial(),
        rng=random.Random(),  # noqa: S311 - spreads waits, hides nothing
        notifier=Notifier(),
    )

    async def run() -> None:
        orders = Orders()
        orders.listen()
        await agent.run(args.config, around, orders)

    asyncio.run(run())
    return 0


def _check(args: argparse.Namespace) -> int:
    config = load(args.config)
    sensors, intakes = len(config.sensors), len(config.intakes)
    host, port = config.broker.address
    print(f"{args.config}: in order. {config.station} -> {host}:{port}, {sensors} sensors, {intakes} intakes.")
    return 0


def _status(args: argparse.Namespace) -> int:
    config = load(args.config)
    state = _live(config) or _at_rest(config)
    if args.json:
        print(json.dumps(state))
    else:
        _show(state)
    return 0 if state["running"] else EXIT_NOT_RUNNING


def _live(config: EdgeConfig) -> dict[str, Any] | None:
    """What the running agent says; None: it does not run."""
    from edge.lines import ask  # noqa: PLC0415 - only here

    control = config.journal.path.with_name(config.journal.path.name + ".sock")
    try:
        return asyncio.run(asyncio.wait_for(ask(control, {"status": True}), timeout=10.0))
    except PermissionError as error:
        raise ConfigError.of(str(control), "belongs to another user; run this as the agent's user") from error
    except (OSError, msgspec.DecodeError):
        return None


def _at_rest(config: EdgeConfig) -> dict[str, Any]:
    from edge import status  # noqa: PLC0415 - only here
    from hinomi.journal.sqlite import SqliteJournal  # noqa: PLC0415 - the same

    state: dict[str, Any] = {"running": False, "station": str(config.station)}
    if config.journal.path.exists():
        state["journal"] = status.journal(SqliteJournal.peek(config.journal.path))
    return state


def _show(state: dict[str, Any]) -> None:
    running = "running" if state["running"] else "not running (systemctl start hinomi-edge)"
    print(f"{state['station']}: {running}")
    if "journal" in state:
        journal = state["journal"]
        print(
            f"readings: {journal['accepted']} accepted, {journal['acked']} acknowledged by the cloud, "
            f"{journal['pending']} waiting, {journal['dropped']} dropped"
        )
    if state.get("maintenance_s"):
        print(f"maintenance: {state['maintenance_s'] // 60} minutes left")
    for trouble in state.get("troubles", []):
        print(f"trouble: {trouble['part']}: {trouble['error']} (for {trouble['for_s']} s)")
    for notice in state.get("notices", []):
        print(f"notice: {notice}")


def _maintenance(args: argparse.Namespace) -> int:
    config = load(args.config)
    if args.action == "start":
        maintenance.start(config.journal.path, boot_id(), SystemClock())
        print("Readings are flagged from now on and no rule reads them; this ends in two hours, or with: stop")
    else:
        maintenance.stop(config.journal.path)
        print("Readings count again.")
    if _live(config) is None:
        print("The agent does not run now; it will see this when it starts.")
    return 0
