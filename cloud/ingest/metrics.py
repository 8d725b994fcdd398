"""What ingest counts, for Prometheus.

The counters are plain numbers that the event loop adds to; they become Prometheus' metrics only when asked for. A
counter of prometheus_client costs more than the decoding of a reading.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Since the process started.

    Attributes:
        messages: that arrived on ``obs``.
        readings: committed, fresh or resent.
        resent: packs that were there already.
        refused: readings and packs refused, by reason.
        turned_away: messages neither stored nor set aside, by reason; of our own stations they come again.
        commits: groups committed.
        commit_failures: attempts that failed (full disk, cap).
        commit_seconds: time spent in commits.
        acks: published.
        statuses: station states that arrived.
        skipped_packs: packs below a station's base that never came.
        streams: journals of stations seen for the first time.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.readings = 0
        self.resent = 0
        self.refused: Counter[str] = Counter()
        self.turned_away: Counter[str] = Counter()
        self.commits = 0
        self.commit_failures = 0
        self.commit_seconds = 0.0
        self.acks = 0
        self.statuses = 0
        self.skipped_packs = 0
        self.streams = 0


_HELP = {
    "messages": "packs that arrived",
    "readings": "readings committed to the arrival journal, resent ones included",
    "resent": "packs that had been committed before",
    "commits": "groups committed to the arrival journal",
    "commit_failures": "commits that failed and were tried again (full disk, cap)",
    "commit_seconds": "seconds spent in commits",
    "acks": "acknowledgements published",
    "statuses": "states of stations that arrived",
    "skipped_packs": "packs that a station no longer holds and that never arrived",
    "streams": "journals of stations seen for the first time",
}
_BY_REASON = {
    "refused": "readings or packs set aside in quarantine, by reason",
    "turned_away": "messages neither stored nor set aside, by reason",
}


class Metrics(Collector):
    """The counters and any number of gauges in a registry of their own."""

    def __init__(self, counters: Counters) -> None:
        self.registry = CollectorRegistry()
        self._counters = counters
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.registry.register(self)

    def gauge(self, name: str, help_text: str, value: Callable[[], float]) -> None:
        """Show ``value()`` as ``hinomi_<name>`` at each scrape."""
        self._gauges[name] = (help_text, value)

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        for name, text in _HELP.items():
            yield CounterMetricFamily(f"hinomi_ingest_{name}", text, value=getattr(self._counters, name))
        for name, text in _BY_REASON.items():
            family = CounterMetricFamily(f"hinomi_ingest_{name}", text, labels=["reason"])
            for reason, count in sorted(getattr(self._counters, name).items()):
                family.add_metric([reason], count)
            yield family
        for name, (text, value) in self._gauges.items():
            yield GaugeMetricFamily(f"hinomi_{name}", text, value=value())

    def text(self) -> bytes:
        """The exposition, of type ``CONTENT_TYPE``."""
        return generate_latest(self.registry)
