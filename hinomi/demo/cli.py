"""``hinomi demo``: recorded river, air and heat travel from simulated hardware to a page; counted at the end."""

import argparse
import math
import signal
import sys
import time
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import msgspec

from hinomi.demo.broker import Kind
from hinomi.demo.count import count
from hinomi.demo.report import Report, write_report
from hinomi.demo.stage import Stage, StoreKind, raised
from hinomi.demo.view import View
from hinomi.errors import ConfigError

DRAIN_S = 12.0
INTERRUPTED = 130
DEFECT = 1


class Options(msgspec.Struct, frozen=True):
    """What was asked for on the command line."""

    seconds: float
    report: Path | None
    browser: bool
    store: StoreKind
    broker: Kind
    speed: float


def main(argv: Sequence[str]) -> int:
    """Run the demo; 0 all counted, 1 something was lost or doubled, 2 it cannot run here, 130 after Ctrl-C.

    Raises:
        ConfigError: a server is missing, a process did not come up, or the report cannot be written.
    """
    options = _options(argv)
    if options.report is not None and not options.report.parent.is_dir():
        raise ConfigError.of("--report", f"the folder {str(options.report.parent)!r} does not exist")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    with raised(speed=options.speed, broker=options.broker, store=options.store) as stage:
        interrupted = _play(stage, options)
        print("Ending: no more readings; what is on its way arrives …", flush=True)
        report = _end(stage, begun)
    _say(report)
    if options.report is not None:
        write_report(report, options.report)
    if interrupted:
        return INTERRUPTED
    return 0 if report.sound else DEFECT


def _play(stage: Stage, options: Options) -> bool:
    """Start everything and show it until the time is over; returns whether Ctrl-C ended it."""
    try:
        print("Starting broker, store, cloud, hardware and stations …", flush=True)
        stage.raise_()
        print(f"Live page: {stage.url}", flush=True)
        if options.browser:
            webbrowser.open(stage.url)
        View(stage).show(options.seconds)
    except KeyboardInterrupt:
        return True
    return False


def _end(stage: Stage, begun: float) -> Report:
    try:
        stage.end_measuring(DRAIN_S)
    except KeyboardInterrupt:
        print("Not waiting any longer; what is still on its way is counted as pending.", file=sys.stderr)
    latency = stage.latency_ms()
    stage.end_cloud()
    return count(stage, seconds=time.monotonic() - begun, latency=latency)


def _say(report: Report) -> None:
    verdict = "Nothing lost, nothing doubled." if report.sound else "DEFECT: the sum does not come out."
    print(
        f"{report.accepted} readings accepted = {report.stored} stored + {report.pending} on their way"
        f" + {report.quarantined} quarantined + {report.dropped} dropped + {report.written_off} written off"
        f" + {report.lost} lost; {report.duplicated} double. {verdict}"
    )
    if report.p50_ms is not None and report.p99_ms is not None:
        print(f"From sampling to readable in the store: {report.p50_ms:.0f} ms median, {report.p99_ms:.0f} ms p99.")


def _options(argv: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(
        prog="hinomi demo",
        description="Six stations, two of them real agents on simulated buses, play a recorded flood, a smoky "
        "night and a hot day through a real broker into a store and onto a page. Nothing leaves this machine.",
    )
    parser.add_argument("--for", dest="seconds", type=_positive, default=math.inf, metavar="SECONDS")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write the final count there")
    parser.add_argument("--no-browser", action="store_true", help="do not open the live page")
    parser.add_argument("--store", choices=["sqlite", "influx"], default="sqlite")
    parser.add_argument("--broker", choices=["iotcore", "mosquitto"], default="iotcore")
    parser.add_argument("--speed", type=_positive, default=600.0, help="recorded seconds per second (600)")
    arguments = parser.parse_args(argv)
    return Options(
        seconds=arguments.seconds,
        report=arguments.report,
        browser=not arguments.no_browser,
        store=arguments.store,
        broker=arguments.broker,
        speed=arguments.speed,
    )


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value
