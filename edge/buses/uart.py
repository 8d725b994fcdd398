"""UART: frames out of a stream of bytes that may begin anywhere and contain anything."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
import serial

from edge.buses import trouble
from hinomi.errors import HinomiError, Transient

Baud = Annotated[int, msgspec.Meta(ge=300, le=921600)]

# Takes one frame from the front of the buffer and removes what it has used up; None: not there yet.
Take = Callable[[bytearray], bytes | None]

_SLICE_SECONDS = 0.1
_MAX_GARBAGE = 2048


class Uart:
    """A serial port, held exclusively (8N1), at ``/dev/serial0``, ``/dev/ttyUSB0``, a pty.

    Raises:
        ConfigError: the port is not there, or this user may not use it.
        Transient: another program holds it.
    """

    def __init__(self, path: Path, baud: int) -> None:
        self._path = path
        self._buffer = bytearray()
        try:
            self._port = serial.Serial(str(path), baud, timeout=_SLICE_SECONDS, write_timeout=1.0, exclusive=True)
        except OSError as error:
            raise _cannot_open(error, path) from error

    def send(self, data: bytes) -> None:
        """Write all of ``data``.

        Raises:
            Transient: the port is gone or stuck.
        """
        try:
            self._port.write(data)
        except OSError as error:
            raise self._failed(error) from error

    def wait(self, seconds: float) -> None:
        """Give the device time: real seconds, whatever clock measures."""
        time.sleep(seconds)

    def clear(self) -> None:
        """Forget what came in so far: the next frame is then fresh.

        Raises:
            Transient: the port is gone.
        """
        self._buffer.clear()
        try:
            self._port.reset_input_buffer()
        except OSError as error:
            raise self._failed(error) from error

    def frame(self, take: Take, seconds: float) -> bytes:
        """The next frame that ``take`` finds.

        Args:
            take: the protocol; called with all that has not been used up yet.
            seconds: how long the line may stay silent.

        Raises:
            Transient: silence, only garbage, or the port is gone.
        """
        came = 0
        silent = 0.0
        while True:
            found = take(self._buffer)
            if found is not None:
                return found
            if silent >= seconds or came >= _MAX_GARBAGE:
                raise self._nothing(came)
            part = self._read()
            came += len(part)
            silent = 0.0 if part else silent + _SLICE_SECONDS
            self._buffer += part

    def close(self) -> None:
        """Let go of the port; a second time is harmless."""
        self._port.close()

    def _read(self) -> bytes:
        try:
            return self._port.read(max(1, self._port.in_waiting))
        except (OSError, TypeError) as error:  # TypeError: pyserial's way of saying that the port was closed
            raise self._failed(error) from error

    def _nothing(self, came: int) -> Transient:
        if not came:
            return Transient(
                f"{self._path}: the sensor says nothing; check its power, that its TX goes to our RX, and the port"
            )
        return Transient(
            f"{self._path}: {came} bytes came, but no frame with a good checksum; check the baud rate,"
            " the sensor's model, ground and cable"
        )

    def _failed(self, error: Exception) -> Transient:
        text = trouble.words(error) if isinstance(error, OSError) else str(error)
        return Transient(f"{self._path}: {text}; is the adapter still plugged in?")


def _cannot_open(error: OSError, path: Path) -> HinomiError:
    return trouble.opening(
        error,
        path,
        group="dialout",
        when_absent="plug the adapter in (ls -l /dev/serial/by-id), or enable the serial port: sudo raspi-config",
        when_busy="the login console on the serial port is switched off in raspi-config",
    )
