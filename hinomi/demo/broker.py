"""The demo's broker: embedded (iotcore) by default, or Debian's mosquitto; on loopback only.

``python -m hinomi.demo.broker CONFIG`` runs the embedded one in the process that the demo started for it.
"""

import logging
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Literal

from hinomi.demo.processes import Process, Processes
from hinomi.errors import ConfigError

Kind = Literal["iotcore", "mosquitto"]

# A version 5 listener; it would listen on all addresses unless told. 512 KiB so that our own limit of 256 KiB is
# what refuses an oversized pack.
_IOTCORE = """id = 0
[router]
id = 0
max_connections = 2000
max_outgoing_packet_count = 200
max_segment_size = 10485760
max_segment_count = 10
[v5.1]
name = "v5"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 524288
max_inflight_count = 500
dynamic_filters = true
"""

_MOSQUITTO = """listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 500
max_queued_messages 100000
"""


def start_broker(kind: Kind, processes: Processes, folder: Path) -> int:
    """Start the broker and wait until it answers; returns its port.

    Raises:
        ConfigError: mosquitto is not installed, or the broker does not come up.
    """
    port = free_port()
    config = folder / ("mosquitto.conf" if kind == "mosquitto" else "broker.toml")
    if kind == "mosquitto":
        config.write_text(_MOSQUITTO.format(port=port), "utf-8")
        broker = processes.start("broker", [need("mosquitto", "mosquitto"), "-c", str(config)])
    else:
        config.write_text(_IOTCORE.format(port=port), "utf-8")
        broker = processes.start("broker", [sys.executable, "-m", "hinomi.demo.broker", str(config)])
    wait_for_port(broker, port, seconds=15.0)
    return port


def need(program: str, package: str) -> str:
    """The path of an installed server.

    Raises:
        ConfigError: it is not installed; says which package brings it.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ConfigError.of(program, f"is not installed here; on Debian: apt-get install {package}")
    return path


def free_port() -> int:
    """A port that was free on loopback a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def wait_for_port(process: Process, port: int, *, seconds: float) -> None:
    """Return when something listens on the loopback ``port``.

    Raises:
        ConfigError: the process ended, or the time is over.
    """
    end = time.monotonic() + seconds
    while process.alive and time.monotonic() < end:
        with socket.socket() as sock:
            sock.settimeout(0.2)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise ConfigError.of(process.name, f"does not listen on port {port}; its last words:\n{process.last_words()}")


def _serve(config: str) -> None:
    # iotcore is an extra of the demo, and this function runs in the broker's own process.
    from iotcore import IotCoreBroker  # noqa: PLC0415

    # Its spans arrive as errors, one a packet: a log nobody could read.
    logging.disable(logging.CRITICAL)
    IotCoreBroker(config_path=config).run_forever()


if __name__ == "__main__":
    _serve(sys.argv[1])
