"""All buses of one station in one folder."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from firmware_sim.buses.gpio import GpioChip, GpioDevice
from firmware_sim.buses.i2c import I2cBus, I2cDevice
from firmware_sim.buses.modbus import ModbusDevice, ModbusLine
from firmware_sim.buses.onewire import OneWireDevice, OneWireTree
from firmware_sim.buses.pty import Pty
from firmware_sim.buses.uart import UartDevice, UartLine
from firmware_sim.part import Part
from firmware_sim.world import World


class Rack:
    """Where devices are plugged in; a bus exists as soon as something is on it.

    The folder then holds ``i2c-N.sock``, ``gpiochip0.sock``, a symbolic link for each serial port and
    ``w1/devices/``.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._i2c: dict[int, I2cBus] = {}
        self._uart: dict[str, UartLine] = {}
        self._modbus: dict[str, ModbusLine] = {}
        self._onewire: OneWireTree | None = None
        self._gpio: GpioChip | None = None

    def plug_i2c(self, bus: int, address: int, device: I2cDevice, part: Part) -> None:
        """Put a device on an I2C bus."""
        self._i2c.setdefault(bus, I2cBus(self._world)).plug(address, device, part)

    def plug_uart(self, port: str, device: UartDevice, part: Part) -> None:
        """Put a device on a serial port of its own."""
        self._uart[port] = UartLine(device, part)

    def plug_modbus(self, port: str, unit: int, device: ModbusDevice, part: Part) -> None:
        """Put a unit on a Modbus line."""
        self._modbus.setdefault(port, ModbusLine(self._world)).plug(unit, device, part)

    def plug_onewire(self, identity: str, device: OneWireDevice, part: Part) -> None:
        """Put a thermometer on the 1-Wire line."""
        self._onewire = self._onewire or OneWireTree(self._world)
        self._onewire.plug(identity, device, part)

    def plug_gpio(self, line: int, device: GpioDevice, part: Part) -> None:
        """Wire a device to a GPIO line."""
        self._gpio = self._gpio or GpioChip(self._world)
        self._gpio.plug(line, device, part)

    @asynccontextmanager
    async def serving(self, root: Path) -> AsyncIterator[None]:
        """Everything is there inside, and nothing of it is left outside.

        What an earlier process left in ``root`` when it was killed is replaced.
        """
        await asyncio.to_thread(_clear, root)
        async with AsyncExitStack() as stack:
            work: list[Coroutine[Any, Any, None]] = []
            for number, bus in self._i2c.items():
                await stack.enter_async_context(bus.serving(root / f"i2c-{number}.sock"))
            for port, line in (self._uart | self._modbus).items():
                work.append(line.run(stack.enter_context(Pty(root / port))))
            if self._onewire is not None:
                tree = root / "w1"
                stack.enter_context(self._onewire.serving(tree))
                work.append(self._onewire.run(tree))
            if self._gpio is not None:
                await stack.enter_async_context(self._gpio.serving(root / "gpiochip0.sock"))
                work.append(self._gpio.run())
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(coroutine) for coroutine in work]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()


def _clear(root: Path) -> None:
    """Remove what a killed simulator left in ``root``; nothing else in it is touched."""
    shutil.rmtree(root / "w1", ignore_errors=True)
    for path in [*root.glob("i2c-*.sock"), *root.glob("gpiochip*.sock")]:
        path.unlink(missing_ok=True)
    for path in root.glob("tty*"):
        if path.is_symlink():
            path.unlink()
