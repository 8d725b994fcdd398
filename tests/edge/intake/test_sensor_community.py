"""The firmware's own messages through a real HTTP client, and everything that others may send to an open port."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.intakes import Taken, config

from edge.intake import airrohr, sensor_community
from hinomi.errors import ConfigError, Rejected, Transient
from sensing.quantity import QUANTITIES

# As the firmware NRZ-2020-129 sends it with an SDS011 and a BME280, header and body.
HEADERS = {
    "User-Agent": "NRZ-2020-129/12331981",
    "Connection": "close",
    "Accept-Encoding": "identity;q=1,chunked;q=0.1,*;q=0",
    "Content-Type": "application/json",
    "X-Sensor": "esp8266-12331981",
}
BODY = (
    b'{"esp8266id": "12331981", "software_version": "NRZ-2020-129", "sensordatavalues":['
    b'{"value_type":"SDS_P1","value":"0.40"},{"value_type":"SDS_P2","value":"0.20"},'
    b'{"value_type":"BME280_temperature","value":"20.47"},{"value_type":"BME280_pressure","value":"100613.25"},'
    b'{"value_type":"BME280_humidity","value":"69.02"},{"value_type":"samples","value":"4222662"},'
    b'{"value_type":"min_micro","value":"32"},{"value_type":"max_micro","value":"3301275"},'
    b'{"value_type":"interval","value":"145000"},{"value_type":"signal","value":"-94"}]}'
)
EXPECTED = {
    ("balcony-sds011", "pm10"): 0.4,
    ("balcony-sds011", "pm2_5"): 0.2,
    ("balcony-bme280", "temperature"): 20.47,
    ("balcony-bme280", "pressure"): pytest.approx(1006.1325),
    ("balcony-bme280", "humidity"): 69.02,
    ("balcony-wifi", "signal_strength"): -94.0,
}


@asynccontextmanager
async def listening(sink: Taken, **settings: object) -> AsyncIterator[str]:
    section = config("sensor_community", **({"host": "127.0.0.1", "port": 0} | settings))
    async with section.open(sink) as intake:
        running = asyncio.create_task(intake.run())
        host, port = intake.address
        yield f"http://{host}:{port}"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def post(url: str, body: bytes = BODY, **options: object) -> tuple[int, dict[str, object]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=body, headers=HEADERS | options.pop("headers", {}), **options) as answer,
    ):
        text = await answer.read()
        return answer.status, json.loads(text) if answer.content_type == "application/json" else {}


def message(*values: object, chip: object = "12331981") -> bytes:
    return json.dumps({"esp8266id": chip, "software_version": "x", "sensordatavalues": list(values)}).encode()


def value(name: str, text: object) -> dict[str, object]:
    return {"value_type": name, "value": text}


async def test_the_firmwares_message_becomes_readings_of_its_parts(capsys) -> None:
    sink = Taken()
    async with listening(sink) as url:
        assert await post(f"{url}/data.php") == (200, {"accepted": 6, "refused": []})
    assert sink.values == EXPECTED
    assert not sink.counted
    assert all(reading.measured_at is None for reading in sink.readings)
    assert capsys.readouterr().out.startswith("ready sensor_community 127.0.0.1 ")


async def test_older_firmware_with_a_dht22_and_a_plantower() -> None:
    """As published with NRZ-2018 (temperature and humidity without a prefix) and NRZ-2020 (PMS_P0)."""
    sink = Taken()
    body = message(
        value("PMS_P0", "7.25"),
        value("PMS_P1", "16.75"),
        value("PMS_P2", "15.00"),
        value("temperature", "25.90"),
        value("humidity", "50.00"),
        chip=12331981,
    )
    async with listening(sink) as url:
        assert (await post(f"{url}/data.php", body))[0] == 200
    assert sink.values == {
        ("balcony-pms", "pm1"): 7.25,
        ("balcony-pms", "pm10"): 16.75,
        ("balcony-pms", "pm2_5"): 15.0,
        ("balcony-dht22", "temperature"): 25.9,
        ("balcony-dht22", "humidity"): 50.0,
    }


def test_every_value_type_is_a_known_quantity_under_a_name_that_fits() -> None:
    for suffix, quantity in airrohr.VALUE_TYPES.values():
        assert quantity in QUANTITIES
        assert len("n" * 23 + "-" + suffix) <= 32


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (value("BME280_temperature", "nan"), "not_finite"),
        (value("BME280_temperature", "-inf"), "not_finite"),
        (value("BME280_temperature", "Infinity"), "not_finite"),
        (value("BME280_temperature", "1e999"), "malformed"),
        (value("BME280_temperature", "1e99"), None),
        (value("BME280_temperature", "12,5"), "malformed"),
        (value("BME280_temperature", "1_0"), "malformed"),
        (value("BME280_temperature", "１２"), "malformed"),
        (value("BME280_temperature", ""), "malformed"),
        (value("BME280_temperature", None), "malformed"),
        (value("BME280_temperature", True), "malformed"),
        (value("BME280_temperature", ["20"]), "malformed"),
        (value("BME280_temperature", {"value": "20"}), "malformed"),
        (value("BME280_temperature", "9" * 5000), "malformed"),
        (value("GRAVITY_waves", "20"), "unknown_value_type"),
        (value("x" * 5000, "20"), "unknown_value_type"),
        (value("SDS_P2", "99"), "twice"),
        ("BME280_temperature", "malformed"),
        (None, "malformed"),
        ({"value_type": 7, "value": "20"}, "malformed"),
        ({"value_type": "BME280_temperature"}, "malformed"),
    ],
)
async def test_a_bad_value_is_refused_with_its_reason_and_the_good_ones_are_taken(bad, reason) -> None:
    sink = Taken()
    async with listening(sink) as url:
        status, answer = await post(
            f"{url}/data.php", message(value("SDS_P1", "0.40"), value("SDS_P2", "0.20"), bad)
        )
    assert status == 200
    assert ("balcony-sds011", "pm2_5") in sink.values
    assert sink.values["balcony-sds011", "pm2_5"] == 0.2
    if reason is None:
        assert answer["accepted"] == 3
        return
    assert answer["accepted"] == 2
    assert [one["reason"] for one in answer["refused"]] == [reason]
    assert sink.counted == {f"sensor_community.{reason}": 1}


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "malformed"),
        (b"null", 400, "malformed"),
        (b"[]", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"\xff\xfe\x00", 400, "malformed"),
        (b'{"esp8266id": "\xff", "sensordatavalues": []}', 400, "malformed"),
        (b'{"esp8266id": "12331981"}', 400, "malformed"),
        (b'{"esp8266id": "12331981", "sensordatavalues": {}}', 400, "malformed"),
        (b'{"esp8266id": null, "sensordatavalues": []}', 400, "malformed"),
        (b'{"esp8266id": NaN, "sensordatavalues": []}', 400, "malformed"),
        (b"[" * 15000, 400, "malformed"),
        (b'{"a":' * 3000, 400, "malformed"),
        (
            b'{"esp8266id": "12331981", "x": ' + b"[" * 7000 + b"]" * 7000 + b', "sensordatavalues": []}',
            400,
            "malformed",
        ),
        (b'{"esp8266id": "12331981", "sensordatavalues": [' + b"[" * 7000 + b"]" * 7000 + b"]}", 400, "malformed"),
        (b" " * 20000, 413, "oversized"),
        (BODY.replace(b"12331981", b"999"), 403, "unknown_device"),
        (message(*[value("SDS_P1", "1")] * 200), 400, "too_many"),
    ],
    ids=lambda part: part[:30].decode("ascii", "replace") if isinstance(part, bytes) else None,
)
async def test_hostile_messages_are_refused_counted_and_leave_it_working(body, status, reason) -> None:
    sink = Taken()
    async with listening(sink) as url:
        got, answer = await post(f"{url}/data.php", body)
        assert (got, answer["reason"]) == (status, reason)
        assert sink.counted == {f"sensor_community.{reason}": 1}
        assert sink.readings == []
        assert (await post(f"{url}/data.php"))[0] == 200


async def test_a_message_in_which_all_is_bad_is_no_success() -> None:
    sink = Taken()
    async with listening(sink) as url:
        status, answer = await post(f"{url}/data.php", message(value("SDS_P1", "nan")))
    assert (status, answer["accepted"]) == (422, 0)


async def test_an_oversized_message_without_a_length_is_cut_off() -> None:
    async def endless():
        for _ in range(1000):
            yield b" " * 1024

    async with listening(Taken()) as url:
        try:
            status, _ = await post(f"{url}/data.php", endless())
        except aiohttp.ClientConnectionError:
            status = 413  # it hung up on us
    assert status == 413


async def test_a_body_that_never_comes_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensor_community, "_BODY_SECONDS", 0.1)
    sink = Taken()
    async with listening(sink) as url:
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /data.php HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.readline()
        writer.close()
    assert sink.counted == {"sensor_community.slow": 1}


async def test_other_paths_and_methods_are_none_of_ours() -> None:
    async with listening(Taken()) as url:
        assert (await post(f"{url}/other"))[0] == 404
        async with aiohttp.ClientSession() as session, session.get(f"{url}/data.php") as answer:
            assert answer.status == 405


@pytest.mark.parametrize(
    ("auth", "status"),
    [("airrohr:right", 200), ("airrohr:wrong", 401), ("airrohr:", 401), ("", 401), (None, 401)],
)
async def test_basic_authentication(auth: str | None, status: int) -> None:
    sink = Taken()
    headers = {} if auth is None else {"Authorization": "Basic " + base64.b64encode(auth.encode()).decode()}
    async with listening(sink, username="airrohr", password="right") as url:
        got, answer = await post(f"{url}/data.php", headers=headers)
    assert got == status
    assert bool(sink.readings) is (status == 200)
    assert "right" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/data.php?token=s3cret", {}, 200),
        ("/data.php", {"Authorization": "Bearer s3cret"}, 200),
        ("/data.php?token=", {}, 401),
        ("/data.php?token=s3cre%F0", {}, 401),
        ("/data.php", {"Authorization": "Bearer "}, 401),
        ("/data.php", {}, 401),
    ],
)
async def test_a_token_in_the_path_or_header(path: str, headers: dict[str, str], status: int) -> None:
    async with listening(Taken(), token="s3cret") as url:
        assert (await post(f"{url}{path}", headers=headers))[0] == status


async def test_a_full_disk_is_no_success_for_the_device() -> None:
    sink = Taken()
    sink.full = True
    async with listening(sink) as url:
        status, answer = await post(f"{url}/data.php")
        assert (status, answer["reason"]) == (503, "not_taken")
        assert sink.counted == {"sensor_community.not_taken": 1}
        sink.full = False
        assert (await post(f"{url}/data.php"))[0] == 200


async def test_a_busy_port_says_who_may_hold_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Transient, match="another program listens there"):
            await config("sensor_community", host="127.0.0.1", port=port).open(Taken()).__aenter__()


async def test_an_address_that_is_not_ours_is_told() -> None:
    with pytest.raises(Transient, match=r"192\.0\.2\.1:8080"):
        await config("sensor_community", host="192.0.2.1", port=8080).open(Taken()).__aenter__()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"username": "x"}, "belong together"),
        ({"path": "data.php"}, "matching"),
        ({"path": "/data.php?x"}, "must not contain"),
        ({"device": [{"id": "1", "name": "a"}, {"id": "1", "name": "b"}]}, "each id only once"),
        ({"device": [{"id": "1", "name": "Balcony"}]}, r"device\[0\].name"),
        ({"port": 70000}, "at most 65535"),
        ({"password_file": "nothing-here"}, "cannot be read"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        config("sensor_community", **settings)


json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=10), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["esp8266id", "sensordatavalues", "value_type", "value", "x"]), inner, max_size=4
        ),
    ),
    max_leaves=20,
)


@given(st.one_of(st.binary(max_size=200), json_like.map(lambda data: json.dumps(data).encode())))
def test_decoding_anything_gives_readings_or_a_reason(body: bytes) -> None:
    try:
        taken, refused = airrohr.readings(airrohr.decode(body), "balcony")
    except Rejected:
        return
    assert all(one.reason for one in refused)
    assert all(one.quantity in QUANTITIES for one in taken)
