"""What one would write in an afternoon: aiomqtt, json, influxdb-client's Point; acknowledged before it is stored.

``python bench/baseline_aiomqtt.py BROKER_PORT INFLUX_URL DATABASE`` runs until killed. It is not worse than it must
be: lines are gathered and written 5,000 at a time or every 100 ms, like influxdb-client's own batching does. That
one cannot be used itself, since it only knows ``/api/v2/write``, which InfluxDB 1.6.7 does not have.
"""

import asyncio
import json
import sys

import aiohttp
import aiomqtt
from influxdb_client.client.write.point import Point
from influxdb_client.domain.write_precision import WritePrecision

BATCH = 5000
EVERY_S = 0.1


def points(payload: bytes) -> list[str]:
    """Lines of one pack."""
    lines = []
    base_name, base_time, seq = "", 0.0, 0
    for record in json.loads(payload):
        base_name = record.get("bn", base_name)
        base_time = record.get("bt", base_time)
        seq = record.get("hn_seq", seq)
        community, station, sensor, quantity = (base_name + record["n"]).split("/")
        point = (
            Point(quantity)
            .tag("community", community)
            .tag("station", station)
            .tag("sensor", sensor)
            .field("value", float(record["v"]))
            .field("flags", 0)
            .field("seq", seq)
            .time(round((base_time + record.get("t", 0.0)) * 1000), WritePrecision.MS)
        )
        lines.append(point.to_line_protocol())
    return lines


async def write(queue: asyncio.Queue[list[str]], url: str, database: str) -> None:
    """Batches to InfluxDB."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        while True:
            lines = await queue.get()
            deadline = loop.time() + EVERY_S
            while len(lines) < BATCH and loop.time() < deadline:
                try:
                    lines += await asyncio.wait_for(queue.get(), deadline - loop.time())
                except TimeoutError:
                    break
            async with session.post(
                f"{url}/write", params={"db": database, "precision": "ms"}, data="\n".join(lines).encode()
            ) as answer:
                answer.raise_for_status()


async def main(port: int, url: str, database: str) -> None:
    """Subscribe and hand on."""
    queue: asyncio.Queue[list[str]] = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        group.create_task(write(queue, url, database))
        async with aiomqtt.Client(
            "127.0.0.1", port, identifier="baseline", protocol=aiomqtt.ProtocolVersion.V5
        ) as client:
            await client.subscribe("hinomi/v1/+/+/obs", qos=1)
            print("ready", flush=True)
            async for message in client.messages:
                if isinstance(message.payload, bytes):
                    queue.put_nowait(points(message.payload))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
