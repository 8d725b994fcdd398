"""The whole agent in the test's own loop, with a real broker and simulated hardware: nothing blocks the loop."""

import asyncio
import json
import random
from pathlib import Path

from support.acker import Acker
from support.blocking import no_blocking_calls

from edge import agent
from edge.notify import Notifier
from edge.orders import Orders
from firmware_sim.scenario import parse
from firmware_sim.world import real_world
from hinomi.clock import SystemClock

HARDWARE = {
    "device": [
        {
            "type": "bme280",
            "address": 0x76,
            "signals": {
                "temperature": {"constant": 21.5},
                "humidity": {"constant": 55.0},
                "pressure": {"constant": 1003.0},
            },
        },
        {
            "type": "ultrasonic",
            "port": "ttySIM0",
            "mounting_height": 3.0,
            "signals": {"water_level": {"constant": 1.25}},
        },
        {"type": "rain_gauge", "line": 17, "signals": {"rain_rate": {"constant": 300.0}}},
        {"type": "ds18b20", "id": "28-0316a2794e01", "signals": {"temperature": {"constant": 18.0}}},
    ]
}
CONFIG = """
[station]
id = "town/bridge"
clock_trusted = true
[broker]
host = "127.0.0.1"
port = {port}
[journal]
path = "journal.db"
commit_s = 0.2
[[intake]]
type = "socket"
path = "{hardware}/in.sock"
[[sensor]]
type = "host"
name = "host"
interval_s = 0.5
report = ["memory_free", "disk_free"]
[[sensor]]
type = "bme280"
name = "air"
interval_s = 0.3
bus = "{hardware}/i2c-1.sock"
[[sensor]]
type = "ultrasonic"
name = "river"
interval_s = 0.5
port = "{hardware}/ttySIM0"
mounting_height_m = 3.0
samples = 1
[[sensor]]
type = "rain_gauge"
name = "rain"
interval_s = 0.5
chip = "{hardware}/gpiochip0.sock"
line = 17
mm_per_tip = 0.2
[[sensor]]
type = "ds18b20"
name = "water"
interval_s = 0.5
id = "28-0316a2794e01"
root = "{hardware}/w1/devices"
"""
MEASURED = {
    "host/memory_free",
    "host/disk_free",
    "air/temperature",
    "air/humidity",
    "air/pressure",
    "river/water_level",
    "river/water_distance",
    "rain/rain_increment",
    "water/temperature",
    "pushed/noise",
}


async def push(socket: Path) -> dict:
    """One reading through the socket intake, as another program on the Pi would give it."""
    reader, writer = await asyncio.open_unix_connection(socket)
    readings = [{"sensor": "pushed", "quantity": "noise", "value": 41.5}]
    writer.write(json.dumps({"readings": readings}).encode() + b"\n")
    answer = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


async def test_sensors_intake_journal_and_uplink_never_block_the_loop(mosquitto, tmp_path, tmp_path_factory):
    hardware = tmp_path_factory.mktemp("hw")
    config = tmp_path / "edge.toml"
    config.write_text(CONFIG.format(port=mosquitto.port, hardware=hardware))
    around = agent.Surroundings(
        pace=SystemClock(),
        boot="boot",
        synced=lambda: True,
        serial="",
        rng=random.Random(1),
        notifier=Notifier(),
    )
    orders = Orders()
    with Acker(mosquitto.port) as cloud:
        async with asyncio.timeout(60), parse(HARDWARE).rack(real_world(None)).serving(hardware):
            running = asyncio.create_task(agent.run(config, around, orders))
            while not (hardware / "in.sock").exists():
                await asyncio.sleep(0.02)
            with no_blocking_calls():
                assert await push(hardware / "in.sock") == {"accepted": 1, "refused": []}
                while {name.removeprefix("town/bridge/") for name, _ in cloud.values} != MEASURED:
                    assert not running.done(), running
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1)
            orders.stop()
            await running
    assert cloud.bad == []
