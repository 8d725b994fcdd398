"""Local devices' own messages through a real mosquitto."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.intakes import Taken, config
from support.servers import Mosquitto, Server

from edge.intake import mapping
from edge.intake.mapping import Device, Value
from hinomi.errors import ConfigError, Rejected, Transient

# Zigbee2MQTT, "MQTT topics and messages" and the pages of a WSDCGQ11LM, MCCGQ11LM, RTCGQ11LM.
ZIGBEE = '{"battery":86,"humidity":55.43,"linkquality":97,"pressure":1000.6,"temperature":22.75,"voltage":2985}'
# Tasmota, "Sensors", teleperiod message of a BME280.
TASMOTA = (
    '{"Time":"2020-08-28T17:39:01","BME280":{"Temperature":21.2,"Humidity":64.5,"Pressure":991.4},'
    '"PressureUnit":"hPa","TempUnit":"C"}'
)


@asynccontextmanager
async def subscribed(sink: Taken, broker: Server, **settings: object) -> AsyncIterator[asyncio.Task[None]]:
    async with config("mqtt", host="127.0.0.1", port=broker.port, **settings).open(sink) as intake:
        running = asyncio.create_task(intake.run())
        yield running
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def device(broker: Server) -> AsyncIterator[aiomqtt.Client]:
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        yield client


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_zigbee2mqtt_tasmota_and_esphome_by_the_samples_own_table(mosquitto: Server) -> None:
    sink = Taken()
    async with subscribed(sink, mosquitto), device(mosquitto) as client:
        await client.publish("zigbee2mqtt/living room", ZIGBEE)
        await client.publish(
            "zigbee2mqtt/front door", '{"battery":100,"contact":false,"linkquality":120,"voltage":3045}'
        )
        await client.publish("tele/greenhouse/SENSOR", TASMOTA, qos=1)
        await client.publish("well/sensor/water_level/state", "143.7", retain=True)
        await client.publish("hall/binary_sensor/motion/state", "ON", retain=True)
        await until(lambda: len(sink.readings) == 11)
    assert sink.values == {
        ("living-room", "temperature"): 22.75,
        ("living-room", "humidity"): 55.43,
        ("living-room", "pressure"): 1000.6,
        ("living-room", "battery_level"): 86.0,
        ("living-room", "battery_voltage"): pytest.approx(2.985),
        ("front-door", "door_open"): 1.0,
        ("greenhouse", "temperature"): 21.2,
        ("greenhouse", "humidity"): 64.5,
        ("greenhouse", "pressure"): 991.4,
        ("well", "water_level"): pytest.approx(1.437),
        ("hall", "motion"): 1.0,
    }
    assert all(reading.measured_at is None for reading in sink.readings)


async def test_what_was_retained_before_we_came_is_of_unknown_age_and_left_alone(mosquitto: Server) -> None:
    sink = Taken()
    async with device(mosquitto) as client:
        await client.publish("well/sensor/water_level/state", "999", qos=1, retain=True)
        async with subscribed(sink, mosquitto):
            await until(lambda: sink.counted["mqtt.retained"] == 1)
            await client.publish("well/sensor/water_level/state", "143.7", qos=1, retain=True)
            await until(lambda: sink.readings)
    assert sink.values == {("well", "water_level"): pytest.approx(1.437)}


async def test_bad_messages_are_counted_and_the_next_good_one_is_taken(mosquitto: Server) -> None:
    sink = Taken()
    bad = {
        "malformed": ["{", "", b"\xff\xfe", "[" * 60000, '{"temperature": NaN}', "{'temperature': 1}"],
        "oversized": [" " * 70000],
        "nothing_mapped": ["{}", "[]", "17", '"text"', "null", '{"linkquality": 3}', '{"temperature": null}'],
        "no_number": ['{"temperature": "warm"}', '{"temperature": [1]}', '{"temperature": {"value": 1}}'],
        "not_finite": ['{"temperature": 1e999}', '{"temperature": "nan"}', '{"temperature": ' + "9" * 400 + "}"],
    }
    async with subscribed(sink, mosquitto), device(mosquitto) as client:
        for payloads in bad.values():
            for payload in payloads:
                await client.publish("zigbee2mqtt/living room", payload, qos=1)
        await client.publish("well/sensor/water_level/state", "nan", qos=1)
        await client.publish("zigbee2mqtt/living room", '{"temperature": "warm", "humidity": 50}', qos=1)
        await client.publish("tele/greenhouse/SENSOR", '{"BME280":{"Temperature":null,"Humidity":51.2}}', qos=1)
        await until(lambda: ("greenhouse", "humidity") in sink.values)
    assert sink.values == {("living-room", "humidity"): 50.0, ("greenhouse", "humidity"): 51.2}
    expected = {f"mqtt.{reason}": len(payloads) for reason, payloads in bad.items()}
    expected["mqtt.no_number"] += 1
    expected["mqtt.not_finite"] += 1
    malformed_too = sink.counted["mqtt.malformed"] + sink.counted["mqtt.not_finite"]
    assert malformed_too == expected.pop("mqtt.malformed") + expected.pop("mqtt.not_finite")
    assert {name: sink.counted[name] for name in expected} == expected


async def test_a_full_disk_gives_up_a_message_and_says_so(mosquitto: Server) -> None:
    sink = Taken()
    sink.full = True
    async with subscribed(sink, mosquitto), device(mosquitto) as client:
        await client.publish("zigbee2mqtt/living room", ZIGBEE, qos=1)
        await until(lambda: sink.counted["mqtt.not_taken"] == 5)
        sink.full = False
        await client.publish("zigbee2mqtt/living room", ZIGBEE, qos=1)
        await until(lambda: len(sink.readings) == 5)


async def test_messages_wait_for_their_commits_together(mosquitto: Server) -> None:
    """A commit that takes long must not hold up the taking (and so the time) of the next message."""

    class Slow(Taken):
        async def accept(self, readings):
            refused = await super().accept(readings)
            await asyncio.sleep(3600)
            return refused

    sink = Slow()
    async with subscribed(sink, mosquitto), device(mosquitto) as client:
        for _ in range(3):
            await client.publish("zigbee2mqtt/living room", ZIGBEE, qos=1)
        await until(lambda: len(sink.readings) == 15)


async def test_the_broker_that_goes_away_ends_the_run_and_it_can_be_opened_again(mosquitto: Server) -> None:
    sink = Taken()
    async with subscribed(sink, mosquitto) as running:
        mosquitto.kill()
        with pytest.raises(Transient, match="is gone"):
            await asyncio.wait_for(running, 10)
    with pytest.raises(Transient, match=r"no connection to the broker at 127\.0\.0\.1:\d+.*does it run"):
        async with subscribed(sink, mosquitto):
            pass
    mosquitto.start()
    async with subscribed(sink, mosquitto), device(mosquitto) as client:
        await client.publish("hall/binary_sensor/motion/state", "OFF", qos=1)
        await until(lambda: sink.values == {("hall", "motion"): 0.0})


async def test_a_wrong_password_is_for_a_person_to_mend(tmp_path: Path) -> None:
    (tmp_path / "passwords").write_text("")
    broker = Mosquitto(tmp_path / "m", f"allow_anonymous false\npassword_file {tmp_path}/passwords\n")
    broker.start()
    try:
        with pytest.raises(ConfigError, match="user name or password is wrong"):
            async with subscribed(Taken(), broker, username="hinomi", password="no"):
                pass
    finally:
        broker.kill()


async def test_a_subscription_that_the_broker_refuses_names_the_topic() -> None:
    intake = config("mqtt").open(Taken())
    with pytest.raises(ConfigError, match="does not let us read: well/sensor/water_level/state"):
        intake._check_granted([0, 1, 1, 128, 0])
    intake._check_granted([0, 1, 1, 2, None])


ROW = {"topic": "a/b", "sensor": "s", "values": [{"quantity": "temperature", "path": "t"}]}


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        ([], "at least one"),
        ([ROW | {"values": []}], "at least one"),
        ([ROW | {"topic": "a/+"}], r"device\[0\].topic.*matching"),
        ([ROW | {"topic": "#"}], r"device\[0\].topic"),
        ([ROW | {"sensor": "Living Room"}], r"device\[0\].sensor"),
        ([ROW, ROW | {"topic": "c"}], "s/temperature comes from two places: a/b t, c t"),
        ([ROW | {"values": [{"quantity": "temprature"}]}], "is not known"),
        ([ROW | {"values": [{"quantity": "temperature", "unit": "hPa"}]}], "measures pressure"),
        ([ROW | {"values": [{"quantity": "temperature", "invert": True}]}], "0 and 1"),
    ],
)
def test_a_table_that_cannot_work_is_refused_with_the_place(devices: list[object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config("mqtt", device=devices)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"ON", 1.0),
        (b"off", 0.0),
        (b"true", 1.0),
        (b"Closed", 0.0),
        (b"1", 1.0),
        (b" 0 ", 0.0),
        (b"0x1", None),
        (b"1_0", None),
        ("１".encode(), None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_states_and_numbers_as_devices_write_them(payload: bytes, expected: float | None) -> None:
    taken, refused = mapping.readings(Device(topic="t", sensor="s", values=(Value(quantity="motion"),)), payload)
    assert [one.value for one in taken] == ([] if expected is None else [expected])
    assert [one.reason for one in refused] == (["no_number"] if expected is None else [])


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["BME280", "Temperature", "t"]), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(st.one_of(st.binary(max_size=100), anything.map(lambda data: json.dumps(data).encode())))
def test_any_message_gives_readings_or_a_reason(payload: bytes) -> None:
    row = Device(
        topic="t",
        sensor="s",
        values=(Value(quantity="temperature", path="BME280.Temperature"), Value(quantity="humidity", path="t")),
    )
    try:
        taken, refused = mapping.readings(row, payload)
    except Rejected as error:
        assert error.reason  # noqa: PT017 - the reason is what it is about
        return
    assert taken or refused
