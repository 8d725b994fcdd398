"""``hinomi sim replay``: parses, then hands to the replay."""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from firmware_sim.options import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_PENDING,
    IDENTIFIER,
    Faults,
    identifier,
    interruptible,
    parse_broker,
    read_passwords,
    write_report,
)
from firmware_sim.replay.agent import Broker
from firmware_sim.replay.play import Replay, Report, Settings
from firmware_sim.replay.playlist import Recording, load
from firmware_sim.signals.layout import Column, Layout
from hinomi.clock import SystemClock, is_loopback
from hinomi.errors import ConfigError

_HELP = """Plays recorded CSV files through real agents (`hinomi edge run`, one for each station), as if it happened
now. The order and the distances of the rows are kept to the millisecond; the end of the recording is moved onto the
moment when the replay ends, so nothing is measured in the future. Only to a broker on this machine: a replay is no
measurement."""

_EPILOG = """columns:
  --column NAME=[SENSOR/]QUANTITY[:UNIT]   e.g. --column gage_height_ft=water_level:[ft_i]
  UNIT is what the file counts in (UCUM, or a usual spelling such as degF, mph, cfs); without it the quantity's own.
  An empty cell is a gap, never a zero. More signs for a gap: --gap -9999 --gap ///
times:
  --time-column Date,Time   one column, or a date's and a time's. 24:00 is the next day's 00:00. Times without an
  offset of their own are in --time-zone (default UTC); the hour that happens twice in autumn is read in order.
several files:
  are written alike and read in the order given; each station's rows must be later and later.
report (JSON):
  rows      data rows read, the refused ones too
  replayed  rows of which every cell that is not empty was handed to the agent and taken by it
  refused   {line, column, reason} of every cell, or with its time or station every row, that was not taken (and
            file, where there are several); the good data around it goes on
  accepted  readings that the agents committed (with --state also those an earlier replay left pending)
  acked     of them, acknowledged end to end by the cloud
  pending   of them, not yet
exit status: 0 all acknowledged, 1 something is pending, 2 something has to be fixed, 130 after Ctrl-C"""


class Options(msgspec.Struct, frozen=True):
    """The command line, checked.

    Attributes:
        files: in the order given.
        layout: how they are written.
        community: of the stations.
        station: whose rows they are; None: the station column tells.
        broker: on this machine.
        passwords: by ``community/station``; None: the broker asks for none.
        speed: seconds of the recording per real second; 0: as fast as it goes.
        wait_s: for the acknowledgements at the end.
        report: where to write it.
        state: the agents' folder; None: a temporary one.
    """

    files: list[Path]
    layout: Layout
    community: str
    station: str | None
    broker: Broker
    passwords: dict[str, str] | None
    speed: float
    wait_s: float
    report: Path | None
    state: Path | None


def main(argv: Sequence[str]) -> int:
    """Play; returns the exit status.

    Raises:
        ConfigError: a person has something to fix.
    """
    options, recording = _options(_parser().parse_args(argv))
    return asyncio.run(_run(options, recording))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hinomi sim replay",
        description=_HELP,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="*", type=Path, metavar="FILE.csv", help="recorded with a header line")
    add("--broker", metavar="HOST:PORT", help="where the broker listens; on this machine")
    add("--community", metavar="C", help="the stations' community")
    add("--station", metavar="S", help="whose rows they all are")
    add("--station-column", metavar="NAME", help="or: the column that tells, in lower case")
    add("--column", action="append", default=[], metavar="NAME=QUANTITY[:UNIT]", help="repeatable; see below")
    add("--sensor", default="recorded", metavar="NAME", help="of columns that name none (default: recorded)")
    add("--time-column", metavar="NAME[,NAME]", help="see below")
    add("--time-zone", default="UTC", metavar="Z", help="e.g. Asia/Tokyo (default: UTC)")
    add("--time-format", metavar="PATTERN", help="of strptime, where a time is written in another way")
    add("--delimiter", default=",", metavar="SIGN", help="between cells (default: a comma); a tab is \\t")
    add("--decimal", default=".", metavar="SIGN", help="the decimal sign (default: a point)")
    add("--encoding", default="utf-8", metavar="NAME", help="e.g. cp932 (default: utf-8)")
    add("--skip", type=int, default=0, metavar="N", help="lines before the header")
    add("--gap", action="append", default=[], metavar="TEXT", help="a cell that means: not measured; repeatable")
    add("--speed", type=float, metavar="N", help="times real time, at least 1; 0: as fast as it goes")
    add("--wait", type=float, default=30.0, metavar="S", help="for the acknowledgements at the end (default: 30)")
    add("--report", type=Path, metavar="FILE", help="write what came of it there, as JSON")
    add(
        "--state",
        type=Path,
        metavar="DIR",
        help="where the agents keep their journals (default: a temporary folder)",
    )
    add("--password-file", type=Path, metavar="FILE", help="lines COMMUNITY/STATION:PASSWORD")
    add("--tls", action="store_true", help="encrypted")
    add("--ca", type=Path, metavar="FILE", help="the broker's authority, with --tls")
    add("--certificate", type=Path, metavar="FILE", help="the station's own, with --tls")
    add("--key", type=Path, metavar="FILE", help="its private key")
    return parser


def _options(args: argparse.Namespace) -> tuple[Options, Recording]:
    """Everything checked, the files read; all faults together."""
    faults = Faults()
    layout = _layout(args, faults)
    broker = _broker(args, faults)
    _check_names(args, faults)
    if args.speed is None:
        faults.add("--speed", "is missing: how many times real time, or 0 for as fast as it goes")
    elif args.speed != 0 and not 1 <= args.speed < float("inf"):
        faults.add("--speed", f"got {args.speed}, expected 0 or at least 1: slower would reach into the future")
    if not 0 <= args.wait < float("inf"):
        faults.add("--wait", f"got {args.wait}, expected seconds")
    passwords = None
    if args.password_file is not None:
        with faults.gathering():
            passwords = read_passwords(args.password_file)
    if not args.files:
        faults.add("FILE.csv", "is missing: which file is to be played")
    recording = Recording(0, {}, [], 0, 0)
    with faults.gathering():
        recording = load(args.files, layout, station=args.station)
    if passwords is not None:
        for name in sorted(recording.playlists):
            if f"{args.community}/{name}" not in passwords:
                faults.add(str(args.password_file), f"has no line for {args.community}/{name}")
    faults.finish()
    options = Options(
        files=args.files,
        layout=layout,
        community=args.community,
        station=args.station,
        broker=broker,
        passwords=passwords,
        speed=args.speed,
        wait_s=args.wait,
        report=args.report,
        state=args.state,
    )
    return options, recording


def _layout(args: argparse.Namespace, faults: Faults) -> Layout:
    times = tuple(name.strip() for name in (args.time_column or "").split(",") if name.strip())
    if not 1 <= len(times) <= 2:
        problem = "is missing" if not times else f"got {args.time_column!r}"
        faults.add("--time-column", f"{problem}, expected one column, or a date's and a time's: Date,Time")
    columns = []
    for text in args.column:
        with faults.gathering():
            columns.append(_column(text, args.sensor))
    if not args.column:
        faults.add("--column", "is missing: which column is which quantity, e.g. --column P2=pm2_5")
    places = [(column.sensor, column.quantity) for column in columns]
    for sensor, quantity in sorted({place for place in places if places.count(place) > 1}):
        problem = f"two columns are {sensor}/{quantity}; name their sensors: NAME=SENSOR/{quantity}"
        faults.add("--column", problem)
    return Layout(
        columns=tuple(columns),
        time_columns=times,
        time_zone=args.time_zone,
        time_format=args.time_format,
        station_column=args.station_column,
        delimiter={"\\t": "\t", "tab": "\t"}.get(args.delimiter, args.delimiter),
        encoding=args.encoding,
        skip=args.skip,
        decimal=args.decimal,
        gaps=tuple(args.gap),
    )


def _column(text: str, sensor: str) -> Column:
    name, equals, meaning = text.rpartition("=")
    if not equals or not name.strip():
        raise ConfigError.of("--column", f"got {text!r}, expected NAME=QUANTITY or NAME=QUANTITY:UNIT")
    what, colon, unit = meaning.partition(":")
    before, slash, quantity = what.rpartition("/")
    if colon and not unit:
        raise ConfigError.of("--column", f"got {text!r}: the unit after the colon is missing")
    owner = identifier(f"--column {name}", before if slash else sensor)
    return Column(name.strip(), quantity, unit or None, owner)


def _broker(args: argparse.Namespace, faults: Faults) -> Broker:
    host, port = "", 0
    with faults.gathering():
        host, port = parse_broker(args.broker or "")
    if host and not is_loopback(host):
        problem = f"{host} is not on this machine; a replay among real stations would be taken for measurements"
        faults.add("--broker", problem)
    files = {"--ca": args.ca, "--certificate": args.certificate, "--key": args.key}
    for option, path in files.items():
        if path is not None and not args.tls:
            faults.add(option, "needs --tls")
        if path is not None and not path.is_file():
            faults.add(option, f"no file {path}")
    if (args.certificate is None) != (args.key is None):
        faults.add("--certificate", "and --key belong together; one of them is missing")
    return Broker(host, port, args.tls, args.ca, args.certificate, args.key)


def _check_names(args: argparse.Namespace, faults: Faults) -> None:
    with faults.gathering():
        identifier("--community", args.community)
    if (args.station is None) == (args.station_column is None):
        faults.add("--station", "or --station-column: one of them is needed, and only one")
    elif args.station is not None and not IDENTIFIER.fullmatch(args.station):
        with faults.gathering():
            identifier("--station", args.station)


async def _run(options: Options, recording: Recording) -> int:
    kept = options.state or Path(tempfile.mkdtemp(prefix="hinomi-replay-"))
    finished = True
    try:
        with interruptible() as interrupted, tempfile.TemporaryDirectory(prefix="hinomi-") as sockets:
            replay = Replay(recording, _settings(options, kept, Path(sockets)), SystemClock())
            _announce(recording, options.speed)
            report = await replay.run(interrupted)
        finished = not report.pending
        await asyncio.to_thread(write_report, options.report, msgspec.to_builtins(report))
    finally:
        if options.state is None and finished:
            await asyncio.to_thread(shutil.rmtree, kept, ignore_errors=True)
    _conclude(report, replay.troubles, kept)
    if interrupted.is_set():
        return EXIT_INTERRUPTED
    return EXIT_PENDING if report.pending or replay.troubles else EXIT_DONE


def _settings(options: Options, state: Path, sockets: Path) -> Settings:
    return Settings(
        layout=options.layout,
        community=options.community,
        broker=options.broker,
        passwords=options.passwords or {},
        names=[None if len(options.files) == 1 else str(path) for path in options.files],
        speed=options.speed,
        wait_s=options.wait_s,
        state=state,
        sockets=sockets,
    )


def _announce(recording: Recording, speed: float) -> None:
    lasts = "as fast as it goes" if speed == 0 else f"in about {recording.seconds / speed:.0f} s"
    stations = ", ".join(recording.playlists)
    print(
        f"playing {recording.rows} rows of {stations or 'no station'}: {recording.seconds:.0f} s {lasts}",
        flush=True,
    )


def _conclude(report: Report, troubles: Sequence[str], state: Path) -> None:
    print(f"replayed {report.replayed} of {report.rows} rows, refused {len(report.refused)} cells or rows")
    print(f"accepted {report.accepted} readings, acknowledged {report.acked}, pending {report.pending}")
    for trouble in troubles:
        print(f"hinomi sim replay: {trouble}", file=sys.stderr)
    if report.pending:
        print(f"hinomi sim replay: what is pending waits in {state}; its agents' logs tell why", file=sys.stderr)
