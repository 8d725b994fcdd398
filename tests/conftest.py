"""Fixtures for all tests: real servers, a clock of one's own, no blocking calls in the event loop."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.clock import ManualClock
from support.servers import Influx, Mosquitto, Server, VictoriaMetrics

# A busy machine is not a failing test; what failed prints how to repeat it.
settings.register_profile("hinomi", deadline=None, print_blob=True)
settings.load_profile("hinomi")


def _running(server: Server) -> Iterator[Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Server]:
    yield from _running(Mosquitto(tmp_path / "mosquitto"))


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One InfluxDB for the run; a test makes its own database in it."""
    yield from _running(Influx(tmp_path_factory.mktemp("influx")))


@pytest.fixture(scope="session")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _running(VictoriaMetrics(tmp_path_factory.mktemp("victoria")))
