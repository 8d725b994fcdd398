"""The demo in the terminal: the loss meter's counters and each station's newest values, as on the live page."""

import json
import math
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hinomi.demo.stage import Stage
from hinomi.errors import ConfigError

_EVERY_S = 0.5
_FLOW = ("accepted", "stored", "on_its_way", "quarantined", "dropped", "written_off", "lost")


class View:
    """Shows a stage until its time is over."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._console = Console()

    def show(self, seconds: float) -> None:
        """Show it for ``seconds`` (real ones; infinity: until Ctrl-C).

        Raises:
            ConfigError: one of the processes ended by itself.
        """
        end = time.monotonic() + seconds
        with Live(console=self._console, refresh_per_second=4, transient=not self._console.is_terminal) as live:
            while time.monotonic() < end:
                self._see_that_all_run()
                if (state := self._asked()) is not None:
                    live.update(self._drawn(state, end - time.monotonic()))
                time.sleep(min(_EVERY_S, max(0.0, end - time.monotonic())))

    def _see_that_all_run(self) -> None:
        for name, words in self._stage.processes.fallen().items():
            raise ConfigError.of(name, f"ended by itself; its last words:\n{words}")

    def _asked(self) -> dict[str, Any] | None:
        """The page's own data; None while the cloud is too busy to answer."""
        text = self._stage.ask("/api/live.json?lang=en")
        return None if text is None else json.loads(text)

    def _drawn(self, state: dict[str, Any], left: float) -> Group:
        rest = "Ctrl-C ends it" if math.isinf(left) else f"{max(left, 0.0):.0f} s to go"
        head = Text.assemble(
            ("火の見 Hinomi", "bold"),
            f"   {state['now_text']} at {self._stage.clock.speed:g}x   {self._stage.url}   {rest}",
        )
        return Group(head, _meter(state["meters"][""]), _stations(state["stations"]))


def _meter(meter: dict[str, Any]) -> Table:
    table = Table(title=str(meter["said"]), title_style="bold green" if meter["lost"] == 0 else "bold red")
    for name in _FLOW:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_row(*(f"{meter[name]:,}" for name in _FLOW))
    return table


def _stations(stations: list[dict[str, Any]]) -> Table:
    table = Table(expand=False)
    table.add_column("station")
    table.add_column("")
    table.add_column("newest values (grey: older than three intervals)")
    for station in stations:
        values = Text("   ").join(_value(row) for row in station["datastreams"])
        table.add_row(station["id"], station["said"], values)
    return table


def _value(row: dict[str, Any]) -> Text:
    style = "dim" if row["stale"] else ""
    return Text(f"{row['quantity']} {row['value']:.4g} {row['unit']}", style=style)
