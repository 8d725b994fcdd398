"""The 1-Wire tree as the kernel shows it, with its faults."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import ManualClock
from support.hardware import Settable, part

from firmware_sim.buses import onewire
from firmware_sim.buses.onewire import OneWireTree, shown
from firmware_sim.devices.ds18b20 import Ds18b20, power_on_scratchpad, scratchpad
from firmware_sim.faults import Checksum, Dropout, Hang, Reboot


def test_the_file_of_a_thermometer_as_the_kernel_writes_it() -> None:
    assert shown(scratchpad(0x172)) == (
        "72 01 4b 46 7f ff 0e 10 57 : crc=57 YES\n72 01 4b 46 7f ff 0e 10 57 t=23125\n"
    ), "a common example"
    assert shown(power_on_scratchpad()).endswith("50 05 4b 46 7f ff 0c 10 1c t=85000\n")
    assert onewire.crc8(bytes.fromhex("02 1c b8 01 00 00 00")) == 0xA2, "Maxim's application note 27"


@pytest.mark.parametrize(
    ("celsius", "first", "shown_as"),
    [(125.0, "d007", 125000), (10.125, "a200", 10125), (-0.5, "f8ff", -500), (-25.0625, "6ffe", -25062)],
)
def test_the_data_sheets_table_of_temperatures(
    clock: ManualClock, celsius: float, first: str, shown_as: int
) -> None:
    data = Ds18b20(part(clock, {"temperature": celsius}), "temperature").scratchpad()
    assert data[:2] == bytes.fromhex(first)
    assert shown(data).endswith(f"t={shown_as}\n")


@given(st.floats(-55.0, 125.0))
def test_any_temperature_is_within_a_thirty_second_of_a_degree(celsius: float) -> None:
    data = Ds18b20(part(ManualClock(), {"temperature": celsius}), "temperature").scratchpad()
    assert int.from_bytes(data[:2], "little", signed=True) / 16 == pytest.approx(celsius, abs=0.0313)
    assert onewire.crc8(data) == 0


def test_the_tree_follows_the_temperature_and_its_faults(clock: ManualClock, tmp_path: Path) -> None:
    warmth = Settable(20.0)
    faults = [
        Dropout(kind="dropout", at_s=10.0, for_s=10.0),
        Reboot(kind="reboot", at_s=30.0, for_s=2.0),
        Checksum(kind="checksum", at_s=50.0, for_s=10.0),
        Hang(kind="hang", at_s=70.0, for_s=10.0),
    ]
    one = part(clock, {"temperature": warmth}, faults)
    tree = OneWireTree(one.world)
    tree.plug("28-000000000001", Ds18b20(one, "temperature"), one)
    file = tmp_path / "w1/devices/28-000000000001/w1_slave"
    seen = {}
    with tree.serving(tmp_path / "w1"):
        for second in range(90):
            warmth.level = 20.0 + second % 2
            tree.update(tmp_path / "w1")
            seen[second] = file.read_text().split() if file.exists() else None
            clock.tick(1)
    assert not (tmp_path / "w1").exists()
    assert (seen[0][-1], seen[1][-1]) == ("t=20000", "t=21000")
    assert seen[10] is None
    assert seen[19] is None
    assert seen[20][-1] == "t=20000"
    assert (seen[32][-1], seen[33][-1]) == ("t=85000", "t=21000")
    assert seen[50][11] == "NO"
    assert (seen[70][11], seen[70][-1]) == ("YES", "t=0"), "a shorted line reads nine zeros, whose CRC is good"
    assert seen[80][11] == "YES"
