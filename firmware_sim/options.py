"""What the commands of the simulator have in common: broker, passwords, reports, an orderly end."""

import asyncio
import os
import re
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from hinomi.errors import ConfigError, Fault

IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
"""What a community, a station or a sensor may be called."""

EXIT_DONE = 0
EXIT_PENDING = 1
EXIT_INTERRUPTED = 130


class Faults:
    """Gathers what a person has to fix, so that all of it is told at once."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, path: str, problem: str) -> None:
        """Note one."""
        self.found.append(Fault(path, problem))

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """A ConfigError raised inside is noted instead."""
        try:
            yield
        except ConfigError as error:
            self.found.extend(error.faults)

    def finish(self) -> None:
        """Raise all together, if there are any."""
        if self.found:
            raise ConfigError(self.found)


def parse_broker(text: str) -> tuple[str, int]:
    """``HOST:PORT``, an IPv6 address in brackets.

    Raises:
        ConfigError: it is not that.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError.of("--broker", f"got {text!r}, expected HOST:PORT, e.g. 127.0.0.1:1883")
    return host.removeprefix("[").removesuffix("]"), int(port)


def identifier(path: str, text: str | None) -> str:
    """A name of a community, a station or a sensor.

    Raises:
        ConfigError: it is missing or has other characters.
    """
    if text is None:
        raise ConfigError.of(path, "is missing")
    if not IDENTIFIER.fullmatch(text):
        raise ConfigError.of(path, f"got {text!r}, expected a-z, 0-9 and -, at most 32, not starting with -")
    return text


def read_passwords(path: Path | None) -> dict[str, str]:
    """Lines ``community/station:password``; blank ones and those that begin with # are passed over.

    Raises:
        ConfigError: the file cannot be read, or a line is something else; the password is not shown.
    """
    if path is None:
        return {}
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise ConfigError.of("--password-file", f"{path} cannot be read: {error}") from error
    found = {}
    faults = Faults()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        station, colon, password = line.strip().partition(":")
        if not colon or not all(IDENTIFIER.fullmatch(part) for part in station.split("/")) or "/" not in station:
            faults.add(f"{path}:{number}", "expected community/station:password")
        found[station] = password
    faults.finish()
    return found


def tls_context(
    *, ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """How to encrypt.

    Raises:
        ConfigError: a file is missing or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError.of("--tls", f"a certificate cannot be used: {error}") from error
    return context


def write_report(path: Path | None, report: dict[str, Any]) -> None:
    """Write JSON so that whoever looks sees the whole of it or nothing.

    Raises:
        ConfigError: the folder is missing or the disk is full.
    """
    if path is None:
        return
    passing = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with passing.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        passing.replace(path)
    except OSError as error:
        passing.unlink(missing_ok=True)
        raise ConfigError.of("--report", f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def interruptible() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C and SIGTERM set, instead of ending the process on the spot."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, event.set)
    try:
        yield event
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
