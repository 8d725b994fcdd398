"""``hinomi station``: registers who may speak for a place, and writes what the broker must know of it."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from cloud.config import CloudConfig, load_config
from cloud.db import Database
from cloud.fleet.broker import BrokerFiles, new_password, password_hash, write_files
from cloud.fleet.registry import Registry
from hinomi.clock import SystemClock
from hinomi.config import Secret, Walker
from hinomi.errors import ConfigError
from sensing.quantity import QUANTITIES
from sensing.station import StationRecord
from sensing.topic import StationId

DEFAULT_CONFIG = Path("/etc/hinomi/cloud.toml")


def main(argv: Sequence[str]) -> int:
    """Run ``hinomi station add|list|remove``."""
    arguments = _parser().parse_args(argv)
    config = load_config(arguments.config)
    database = Database(config.database.url)
    try:
        registry = Registry(database)
        match arguments.action:
            case "add":
                _add(arguments, config, registry)
            case "remove":
                registry.remove(_station(arguments.station))
                _write(config, registry)
                print(f"{arguments.station} is removed; its readings stay in the store.")
            case _:
                _list(registry)
    finally:
        database.close()
    return 0


def _add(arguments: argparse.Namespace, config: CloudConfig, registry: Registry) -> None:
    files = _broker_files(config)
    record = _record(arguments)
    password = new_password()
    registry.add(record, password_hash(password), SystemClock().now())
    try:
        if arguments.password_to:
            _keep(arguments.password_to, password)
        _write(config, registry)
    except ConfigError:
        # A station whose password nobody has seen could never join, nor be added again.
        registry.remove(record.id)
        raise
    print(f"{record.id} is registered; {files.passwords} and {files.acl} are written.")
    if not arguments.password_to:
        print(f"Its password, shown this once:\n\n    {password.reveal()}\n")
    if not files.reload:
        print("Now let the broker read them, e.g.: systemctl reload mosquitto")


def _record(arguments: argparse.Namespace) -> StationRecord:
    walker = Walker()
    marks = {}
    for text in arguments.mark:
        quantity, _, heights = text.partition("=")
        try:
            one, two, three, four = (float(height) for height in heights.split(","))
        except ValueError:
            walker.fault("--mark", f"got {text!r}, expected QUANTITY=H1,H2,H3,H4, e.g. water_level=1.5,1.8,2.0,2.8")
            continue
        if quantity not in QUANTITIES:
            walker.fault("--mark", f"{quantity!r} is no quantity; see docs/quantities.md")
        marks[quantity] = (one, two, three, four)
    try:
        record = StationRecord(
            id=_station(arguments.station),
            name=arguments.name,
            kana=arguments.kana,
            romaji=arguments.romaji,
            purpose=arguments.purpose,
            jma_notification=arguments.jma_notification,
            latitude=arguments.latitude,
            longitude=arguments.longitude,
            marks=marks,
            lowest_bank=arguments.lowest_bank,
        )
    except ValueError as error:
        walker.fault(arguments.station, str(error))
        raise ConfigError(walker.faults) from error
    walker.finish()
    return record


def _list(registry: Registry) -> None:
    for record in registry.stations():
        presence = registry.presence(record.id)
        state = "never seen" if presence is None else ("online" if presence.online else "offline")
        print(f"{record.id!s:<40} {state:<11} {record.name}")


def _write(config: CloudConfig, registry: Registry) -> None:
    hashes = registry.password_hashes()
    user, password = config.broker.username, config.broker.password
    if user and password is not None:
        hashes[user] = password_hash(password)
    write_files(_broker_files(config), hashes, user or "hinomi-cloud")


def _broker_files(config: CloudConfig) -> BrokerFiles:
    if config.broker_files is None:
        raise ConfigError.of(
            "broker_files", "is missing; name the broker's files there: passwords = …, acl = …, reload = […]"
        )
    return config.broker_files


def _keep(path: Path, password: Secret) -> None:
    """Write the password where only its owner reads it; never over another one."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError.of("--password-to", f"{path} cannot be made: {error.strerror}") from error
    with os.fdopen(descriptor, "w") as file:
        file.write(password.reveal() + "\n")


def _station(text: str) -> StationId:
    try:
        return StationId.parse(text)
    except ValueError as error:
        raise ConfigError.of(text, str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hinomi station", description="Stations: who may speak for a place.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="add|list|remove")
    add = actions.add_parser("add", help="register a station and print its password, once")
    add.add_argument("station", metavar="COMMUNITY/STATION")
    add.add_argument("--name", default="", help="as people call the place, e.g. 新橋")
    add.add_argument("--kana", default="", help="its reading, e.g. しんばし")
    add.add_argument("--romaji", default="", help="in Latin letters, e.g. Shinbashi")
    add.add_argument("--purpose", default="private", choices=["private", "public", "research", "education"])
    add.add_argument("--jma-notification", default="", help="number of its notification to JMA")
    add.add_argument("--latitude", type=float, help="degrees north")
    add.add_argument("--longitude", type=float, help="degrees east")
    add.add_argument("--mark", action="append", default=[], metavar="QUANTITY=H1,H2,H3,H4", help="mark heights")
    add.add_argument("--lowest-bank", type=float, help="height of the lowest bank above gauge zero, m")
    add.add_argument("--password-to", type=Path, metavar="FILE", help="write the password there, not here")
    remove = actions.add_parser("remove", help="take a station out; its readings stay")
    remove.add_argument("station", metavar="COMMUNITY/STATION")
    listing = actions.add_parser("list", help="all stations, and who is here")
    for action in (add, remove, listing):
        action.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help=f"default {DEFAULT_CONFIG}")
    return parser
