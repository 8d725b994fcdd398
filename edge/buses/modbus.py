"""Modbus RTU: registers of the devices on one RS-485 pair.

Several gauges may hang on one pair, each with its own ``[[sensor]]`` table and thread. So a port is opened for one
exchange only, and a lock for each port keeps the exchanges of this process apart.
"""

import logging
import threading
from pathlib import Path
from typing import Literal

from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusException

from edge.buses.uart import Uart
from hinomi.errors import ConfigError, Transient

Kind = Literal["holding", "input"]
Parity = Literal["none", "even", "odd"]

# It logs each retry as an error of its own, beside the exception that we put in words.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_LOCK_SECONDS = 5.0
_LOCKS: dict[Path, threading.Lock] = {}  # a serial port is a thing of the whole process
_EXCEPTIONS = {
    1: "it does not know this kind of register; try kind = 'input' or 'holding'",
    2: "it has no register at this address; some manuals count from 1, or print 40001 for address 0",
    4: "it reports a fault of its own",
    6: "it is busy",
}


class Modbus:
    """One device on a serial line; nothing is opened before ``read``."""

    def __init__(
        self, path: Path, *, baud: int, parity: Parity, stop_bits: int, device: int, timeout_s: float
    ) -> None:
        self._path = path
        self._baud = baud
        self._parity = parity[0].upper()
        self._stop_bits = stop_bits
        self._device = device
        self._timeout_s = timeout_s
        self._lock = _LOCKS.setdefault(path, threading.Lock())

    def read(self, blocks: list[tuple[Kind, int, int]]) -> list[list[int]]:
        """The 16-bit registers of each block (kind, address, count), in one turn on the line.

        Raises:
            ConfigError: the port is not there, or may not be used.
            Transient: no answer, a broken answer, the device's own exception, the line is in use.
        """
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise Transient(f"{self._path}: other devices on this line keep it busy; lengthen the intervals")
        try:
            client = self._connect()
            try:
                return [self._block(client, *block) for block in blocks]
            finally:
                client.close()  # type: ignore[no-untyped-call]
        finally:
            self._lock.release()

    def _connect(self) -> ModbusSerialClient:
        client = ModbusSerialClient(
            str(self._path),
            baudrate=self._baud,
            parity=self._parity,
            stopbits=self._stop_bits,
            timeout=self._timeout_s,
            retries=1,
        )
        if not client.connect():
            raise self._why_not()
        return client

    def _block(self, client: ModbusSerialClient, kind: Kind, address: int, count: int) -> list[int]:
        ask = client.read_holding_registers if kind == "holding" else client.read_input_registers
        where = f"Modbus device {self._device} on {self._path}, {kind} register {address}"
        try:
            answer = ask(address, count=count, device_id=self._device)
        except (ModbusException, OSError) as error:
            raise Transient(
                f"{where}: no valid answer; check power, the A and B wires, device number, baud rate and parity"
            ) from error
        if answer.isError():
            code = answer.exception_code
            raise Transient(f"{where}: {_EXCEPTIONS.get(code, f'it answers with exception {code}')}")
        if len(answer.registers) != count:
            raise Transient(f"{where}: {len(answer.registers)} registers came instead of {count}")
        return list(answer.registers)

    def _why_not(self) -> ConfigError | Transient:
        """The client keeps the reason to itself: open the port once more and listen to the system."""
        try:
            Uart(self._path, self._baud).close()
        except (ConfigError, Transient) as error:
            return error
        return Transient(f"{self._path} could not be opened")
