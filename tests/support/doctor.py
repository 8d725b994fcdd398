"""A broker with passwords and the doctor's findings, for its tests."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.clock import ManualClock
from support.servers import Mosquitto

from cloud.fleet.broker import BrokerFiles, new_password, password_hash, write_files
from hinomi.config import Secret
from hinomi.doctor import service, station
from hinomi.doctor.findings import Around, Finding

# A day on which the software exists; ManualClock's own lies before it.
TODAY = 1_800_000_000_000
USERS = ("hinomi-cloud", "town/bridge")


class Secured(Mosquitto):
    """Mosquitto with our password and access files."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.passwords = {user: new_password() for user in USERS}
        self.files = BrokerFiles(passwords=folder / "passwords", acl=folder / "acl")
        hashes = {user: password_hash(password) for user, password in self.passwords.items()}
        write_files(self.files, hashes, "hinomi-cloud")
        files = f"password_file {self.files.passwords}\nacl_file {self.files.acl}\n"
        super().__init__(folder, f"allow_anonymous false\n{files}{more}")

    def password(self, user: str) -> str:
        return self.passwords[user].reveal()


@contextmanager
def secured(folder: Path, more: str = "") -> Iterator[Secured]:
    broker = Secured(folder, more)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def around(now_ms: int = TODAY, *, synced: bool = True) -> Around:
    return Around(ManualClock(now_ms), lambda: synced)


async def look(config: Path, machine: Around | None = None) -> dict[str, Finding]:
    """The findings by what they are about."""
    side = station if config.name.startswith("edge") else service
    findings = [finding async for finding in side.look(config, machine or around())]
    named = {finding.what: finding for finding in findings}
    assert len(named) == len(findings)
    return named


async def doctor(config: Path, **more: Any) -> tuple[int, str]:
    """The command itself: exit status, and all that it says."""
    command = [sys.executable, "-m", "hinomi", "doctor", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def secret_line(password: Secret | str) -> str:
    return f'password = "{password if isinstance(password, str) else password.reveal()}"'
