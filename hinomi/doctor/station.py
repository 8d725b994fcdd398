"""The doctor at a station."""

import asyncio
import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec

from edge.config import EdgeConfig, load
from edge.intake.base import IntakeSection
from edge.lines import ask
from edge.link import explain, tls_context
from edge.sensors.base import SensorSection
from hinomi.doctor.findings import Around, Finding, Findings, clock, folder, is_there, tried, user
from hinomi.doctor.ports import port_problem
from hinomi.errors import ConfigError, Transient
from hinomi.journal.sqlite import SqliteJournal

_PATIENCE_S = 10.0
# The broker sends what it has retained at once.
_RETAINED_S = 1.0

# What makes a device file appear, by how its name begins.
_ABSENT = (
    ("/dev/i2c", "enable I2C (sudo raspi-config nonint do_i2c 0) and reboot"),
    (
        "/dev/gpiochip",
        "gpiodetect lists the chips; the user must be on a Raspberry Pi's kernel, not in a container",
    ),
    ("/dev/", "plug the adapter in (ls -l /dev/serial/by-id), or enable the serial port (sudo raspi-config)"),
    ("/sys/bus/w1", "enable 1-Wire (sudo raspi-config nonint do_onewire 0) and reboot; look at wiring and pull-up"),
)


class Ack(msgspec.Struct):
    """What the cloud says last of a station: packs up to ``upto`` are durable; ``now``: when, ms."""

    upto: int = 0
    now: int = 0


async def look(path: Path, around: Around) -> Findings:
    """Everything a station needs.

    Raises:
        ConfigError: the configuration itself is at fault.
    """
    config = load(path)
    has = f"sensors: {len(config.sensors)}, intakes: {len(config.intakes)}"
    yield Finding("ok", "configuration", f"{config.station}; {has}")
    yield clock(around, trusted=config.clock_trusted, replayed=config.clock is not None)
    journal = config.journal
    if (finding := user(journal.path)) is not None:
        yield finding
    yield folder("journal", journal.path, cap=journal.cap_bytes, setting="[journal] cap_mb")
    if is_there(journal.path):
        yield _backlog(journal.path)
    running = await _running(journal.path)
    yield _agent(running)
    troubles = _troubles(running)
    for section in config.sensors:
        part = f"sensor {section.name}"
        yield troubles.pop(part) if part in troubles else _devices(section)
    for finding in troubles.values():
        yield finding
    if running is None:
        for intake in config.intakes:
            for finding in _port(intake):
                yield finding
    acks: list[Ack] = []
    yield await tried("broker", _sign_in(config, around, acks), f"{config.broker.host} lets {config.station} in")
    if acks:
        yield _heard(acks[0], around if config.clock is None else None)


def _backlog(path: Path) -> Finding:
    try:
        stats = SqliteJournal.peek(path)
    except (Transient, ConfigError) as error:
        return Finding("look", "backlog", f"{error}; the agent salvages what it can when it starts")
    return Finding("ok", "backlog", f"{stats.pending_readings} readings wait for the cloud's acknowledgement")


async def _running(journal: Path) -> dict[str, Any] | None:
    """What a running agent says of itself; None: none runs, or it does not talk to this user."""
    with contextlib.suppress(OSError, msgspec.DecodeError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            return await ask(journal.with_name(f"{journal.name}.sock"), {"status": True})
    return None


def _agent(running: dict[str, Any] | None) -> Finding:
    if running is None:
        return Finding("look", "agent", "does not run now, or not as this user (systemctl status hinomi-edge)")
    return Finding("ok", "agent", f"runs; {running['journal']['accepted']} readings accepted so far")


def _troubles(running: dict[str, Any] | None) -> dict[str, Finding]:
    """What a running agent says does not work: it holds the devices, and knows better than we can."""
    return {
        trouble["part"]: Finding(
            "fail", trouble["part"], f"{trouble['error']} (so the agent, for {trouble['for_s']} s)"
        )
        for trouble in (running or {}).get("troubles", [])
    }


def _devices(section: SensorSection) -> Finding:
    """Whether the files behind a sensor's settings are there; only the agent may open them."""
    what = f"sensor {section.name}"
    paths = list(_paths(section))
    problems = [problem for path in paths if (problem := _unusable(path))]
    if problems:
        return Finding("fail", what, "; ".join(problems))
    return Finding("ok", what, ", ".join(map(str, paths)) or "needs no device file")


def _paths(section: SensorSection) -> Iterator[Path]:
    for name in section.__struct_fields__:
        value = getattr(section, name)
        if isinstance(value, Path):
            # Of a 1-Wire thermometer the folder of all and its own number are set.
            own = getattr(section, "id", None) if name == "root" else None
            yield value / own if own and is_there(value) else value


def _unusable(path: Path) -> str | None:
    if not is_there(path):
        do = next((words for begin, words in _ABSENT if str(path).startswith(begin)), "is it plugged in?")
        return f"{path} is not there: {do}"
    status = path.stat()
    if (stat.S_ISCHR(status.st_mode) or stat.S_ISSOCK(status.st_mode)) and not os.access(path, os.R_OK | os.W_OK):
        return (
            f"{path} may not be opened by this user: sudo usermod -aG {path.group()} USER, then restart the agent"
        )
    return None


def _port(intake: IntakeSection) -> Iterator[Finding]:
    """Whether an HTTP intake will get its port."""
    if intake.type != "sensor_community":
        return
    host, port = str(getattr(intake, "host", "")), int(getattr(intake, "port", 0))
    what = f"intake {intake.type}"
    if (problem := port_problem(host, port)) is not None:
        yield Finding("fail", what, f"{problem}; end it, or give [[intake]] another port")
    else:
        yield Finding("ok", what, f"{host}:{port} is free")


async def _sign_in(config: EdgeConfig, around: Around, acks: list[Ack]) -> None:
    """Sign in beside the running agent: under another client id, which does not throw it out."""
    broker = config.broker
    host, port = broker.address
    known = config.clock_trusted or config.clock is not None or around.knows_the_time
    try:
        async with aiomqtt.Client(
            host,
            port,
            identifier=f"{config.station.client_id}.doctor",
            username=broker.username or str(config.station),
            password=broker.password.reveal() if broker.password else None,
            protocol=aiomqtt.ProtocolVersion.V5 if broker.version == "5" else aiomqtt.ProtocolVersion.V311,
            tls_context=tls_context(broker, clock_known=known) if broker.tls else None,
            timeout=_PATIENCE_S,
        ) as client:
            acks.append(await _retained(client, config.station.topic("ack")))
    except (aiomqtt.MqttError, OSError) as error:
        raise Transient(explain(error, broker, config.station)) from error


async def _retained(client: aiomqtt.Client, topic: str) -> Ack:
    """The last acknowledgement that the broker keeps; an empty one where there is none."""
    await client.subscribe(topic)
    with contextlib.suppress(TimeoutError, msgspec.MsgspecError):
        async with asyncio.timeout(_RETAINED_S):
            async for message in client.messages:
                return msgspec.json.decode(bytes(message.payload), type=Ack)
    return Ack()


def _heard(ack: Ack, around: Around | None) -> Finding:
    """Whether the cloud ever took something from this station; ``around``: None where time is not real."""
    if not ack.now:
        words = (
            "has not acknowledged anything of this station yet: fine before the first reading; else, does it run?"
        )
        return Finding("look", "cloud", words)
    words = f"has our packs up to number {ack.upto}"
    if around is not None:
        words += f"; it said so {max(around.clock.now() - ack.now, 0) // 60_000} minutes ago"
    return Finding("ok", "cloud", words)
