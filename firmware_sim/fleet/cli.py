"""``hinomi sim fleet``: parses, then hands to the fleet."""

import argparse
import asyncio
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from firmware_sim.fleet.fleet import Fleet, Totals
from firmware_sim.fleet.link import Broker
from firmware_sim.fleet.plan import alike, known_scenarios, scenario
from firmware_sim.fleet.station import StationPlan, Wire
from firmware_sim.options import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_PENDING,
    Faults,
    identifier,
    interruptible,
    parse_broker,
    read_passwords,
    tls_context,
    write_report,
)
from hinomi.clock import Clock, ClockSection, SystemClock, measurement_clock
from hinomi.errors import ConfigError

_MOST_READINGS = 4000
_MOST_RATE = 200.0
"""Readings a second of one station; each needs a millisecond of its own."""
_SLOW_START_S = 10.0
_POLL_S = 0.2
_LAST_WORDS_S = 1.0

_HELP = """Many light stations in one process, each an MQTT 5 client with its own name (COMMUNITY/fleet-0001 …).
What a station measures is written to the fleet's log and synced, then it counts as accepted, then it is sent,
and sent again until the cloud's own acknowledgement covers it. Started again with the same log, the fleet goes on
from there. The log is the oracle: one line a pack, from which each accepted reading can be told (station, sensor,
quantity, measured_at).
Exit status: 0 all acknowledged, 1 something is pending, 2 something has to be fixed, 130 after Ctrl-C."""


class Options(msgspec.Struct, frozen=True):
    """The command line, checked."""

    plans: list[StationPlan]
    wire: Wire
    log: Path
    clock: Clock
    rng: random.Random
    passwords: dict[str, str]
    readings_per_pack: int | None
    rate: float | None
    seconds: float | None
    drain_s: float
    report: Path | None


def main(argv: Sequence[str]) -> int:
    """Run a fleet; returns the exit status.

    Raises:
        ConfigError: a person has something to fix.
    """
    return asyncio.run(_run(_options(_parser().parse_args(argv))))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hinomi sim fleet", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("-n", dest="count", type=int, metavar="N", help="so many stations: rivers, air, weather by turns")
    add(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE.toml",
        help=f"stations of a scenario, repeatable; there are {', '.join(known_scenarios())}",
    )
    add("--broker", metavar="HOST:PORT", help="where the broker listens (MQTT 5)")
    add("--community", metavar="C", help="the stations' community")
    add("--prefix", default="fleet", help="of the names that -n makes (default: fleet)")
    add("--interval", type=float, metavar="S", help="seconds between the readings of a datastream, with -n")
    add("--seed", type=int, default=0, metavar="N", help="decides everything that is left to chance")
    add("--for", dest="seconds", type=float, metavar="S", help="end by itself after so many seconds")
    add("--drain", type=float, default=15.0, metavar="S", help="then wait so long for the rest (default: 15)")
    add("--report", type=Path, metavar="FILE", help="write the counters there at the end, as JSON")
    add("--log", type=Path, metavar="FILE", help="the log (default: hinomi-fleet-COMMUNITY.jsonl here)")
    add("--readings-per-pack", type=int, metavar="N", help="default: what a station measures at one moment")
    add("--rate", type=float, metavar="R", help="for benches: R readings a second together, as fast as it goes")
    add("--speed", type=float, default=1.0, metavar="N", help="scaled time; only where the broker is on loopback")
    add("--form", choices=("json", "cbor"), default="json", help="SenML as JSON (default) or CBOR")
    add("--deflate", action="store_true", help="packs in a zlib layer")
    add("--password-file", type=Path, metavar="FILE", help="lines COMMUNITY/STATION:PASSWORD")
    add("--tls", action="store_true", help="encrypted")
    add("--ca", type=Path, metavar="FILE", help="the broker's authority, with --tls; default the system's")
    return parser


def _options(args: argparse.Namespace) -> Options:
    faults = Faults()
    host, port = "", 0
    with faults.gathering():
        host, port = parse_broker(args.broker or "")
    with faults.gathering():
        identifier("--community", args.community)
    with faults.gathering():
        identifier("--prefix", f"{args.prefix}-0001")
    _check_numbers(args, faults)
    clock: Clock = SystemClock()
    passwords: dict[str, str] = {}
    plans: list[StationPlan] = []
    tls = None
    with faults.gathering():
        clock = _clock(args.speed, host)
    with faults.gathering():
        passwords = read_passwords(args.password_file)
    if args.tls:
        with faults.gathering():
            tls = tls_context(ca=args.ca)
    with faults.gathering():
        plans = _plans(args, clock)
        _check_rate(args.rate, len(plans), faults)
    faults.finish()
    return Options(
        plans=plans,
        wire=Wire(Broker(host, port, tls), args.form, args.deflate),
        log=args.log or Path(f"hinomi-fleet-{args.community}.jsonl"),
        clock=clock,
        rng=random.Random(args.seed),  # noqa: S311 - no secret, and it has to repeat
        passwords=passwords,
        readings_per_pack=args.readings_per_pack,
        rate=args.rate,
        seconds=args.seconds,
        drain_s=args.drain,
        report=args.report,
    )


def _check_numbers(args: argparse.Namespace, faults: Faults) -> None:
    if args.count is None and not args.scenario:
        faults.add("-n", "is missing: how many stations, or a --scenario")
    if args.count is not None and not 1 <= args.count <= 9999:
        faults.add("-n", f"got {args.count}, expected 1 to 9999")
    if args.interval is not None and not args.interval >= 0.001:
        faults.add("--interval", f"got {args.interval}, expected seconds, at least 0.001")
    for name in ("seconds", "drain"):
        value = getattr(args, name)
        if value is not None and not value >= 0:
            faults.add("--for" if name == "seconds" else "--drain", f"got {value}, expected seconds")
    size = args.readings_per_pack
    if size is not None and not 1 <= size <= _MOST_READINGS:
        faults.add("--readings-per-pack", f"got {size}, expected 1 to {_MOST_READINGS}")
    if args.rate is not None and args.speed != 1.0:
        faults.add("--rate", "is in real seconds and does not go with --speed")


def _check_rate(rate: float | None, stations: int, faults: Faults) -> None:
    most = _MOST_RATE * stations
    if rate is not None and not 0 < rate <= most:
        faults.add("--rate", f"got {rate:g}, expected above 0 and at most {most:g} with {stations} stations")


def _clock(speed: float, host: str) -> Clock:
    if speed == 1.0:
        return SystemClock()
    if not speed > 0:
        raise ConfigError.of("--speed", f"got {speed}, expected above 0")
    real = SystemClock()
    section = ClockSection(speed=speed, origin_ms=real.now(), anchor_s=real.monotonic())
    return measurement_clock(section, broker_host=host)


def _plans(args: argparse.Namespace, clock: Clock) -> list[StationPlan]:
    community, seed = args.community or "unknown", args.seed
    count = args.count or 0
    found = alike(count, community, seed=seed, prefix=args.prefix, interval_s=args.interval)
    faults = Faults()
    for name in args.scenario:
        with faults.gathering():
            found += scenario(name, community, seed=seed, anchor_ms=clock.now())
    ids = [plan.id for plan in found]
    faults.found.extend(ConfigError.of(id_, "is there twice").faults[0] for id_ in {*ids} if ids.count(id_) > 1)
    faults.finish()
    return found


async def _run(options: Options) -> int:
    pace = SystemClock()
    begun = pace.monotonic()
    fleet = Fleet(
        options.plans,
        options.wire,
        options.log,
        clock=options.clock,
        pace=pace,
        rng=options.rng,
        passwords=options.passwords,
        readings_per_pack=options.readings_per_pack,
        rate=options.rate,
    )
    async with fleet:
        with interruptible() as interrupted:
            before = fleet.totals().accepted
            await _attend(fleet, options, interrupted, pace)
        totals = fleet.totals()
        measured_s = pace.monotonic() - begun
    report = _report(options, totals, measured_s, totals.accepted - before)
    await asyncio.to_thread(write_report, options.report, report)
    print(f"accepted {totals.accepted}, acknowledged {totals.acked}, pending {totals.pending}")
    for station, reason in list(totals.refused.items())[:10]:
        print(f"{station} is not let in by the broker: {reason}", file=sys.stderr)
    if interrupted.is_set():
        return EXIT_INTERRUPTED
    return EXIT_PENDING if totals.pending else EXIT_DONE


async def _attend(fleet: Fleet, options: Options, interrupted: asyncio.Event, pace: Clock) -> None:
    """Run the fleet until its time is over or Ctrl-C, then drain it."""
    running = asyncio.ensure_future(fleet.run())
    watching = asyncio.ensure_future(_watch(fleet, options, interrupted, pace))
    try:
        await asyncio.wait({running, watching}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        watching.result()
    finally:
        for task in (watching, running):
            task.cancel()
        await asyncio.gather(watching, running, return_exceptions=True)


async def _watch(fleet: Fleet, options: Options, interrupted: asyncio.Event, pace: Clock) -> None:
    begun = pace.monotonic()
    ready = slow = False
    while not interrupted.is_set():
        since = pace.monotonic() - begun
        if options.seconds is not None and since >= options.seconds:
            break
        if not ready:
            ready = _ready(fleet.totals(), len(options.plans))
        if not ready and not slow and since > _SLOW_START_S:
            slow = True
            broker = options.wire.broker
            print(f"still waiting for the broker {broker.host}:{broker.port}", file=sys.stderr)
        left = _POLL_S if options.seconds is None else min(_POLL_S, options.seconds - since)
        await pace.sleep(left)
    draining = asyncio.ensure_future(fleet.drained(options.drain_s))
    ending = asyncio.ensure_future(interrupted.wait())
    await asyncio.wait({draining, ending}, return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if not draining.done():
        # What has been measured is still packed; the log keeps what is pending for the next time.
        draining.cancel()
        await fleet.drained(_LAST_WORDS_S)


def _ready(totals: Totals, stations: int) -> bool:
    if totals.connected == stations:
        print(f"ready {stations} stations", flush=True)
        return True
    if totals.connected == 0 and len(totals.refused) == stations:
        faults = [ConfigError.of(id_, f"the broker says: {why}").faults[0] for id_, why in totals.refused.items()]
        raise ConfigError(faults[:5])
    return False


def _report(options: Options, totals: Totals, seconds: float, accepted: int) -> dict[str, Any]:
    return {
        "schema": 1,
        "seconds": round(seconds, 3),
        "stations": len(options.plans),
        "accepted": totals.accepted,
        "acked": totals.acked,
        "pending": totals.pending,
        "accepted_now": accepted,
        "packs": totals.packs,
        "resent": totals.resent,
        "skipped": totals.skipped,
        "strange_acks": totals.strange_acks,
        "refused_stations": totals.refused,
        "log": str(options.log),
    }
