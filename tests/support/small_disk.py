"""A small file system of one's own, without being root: tmpfs in a namespace, reached through /proc."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.servers import Influx, die_with_parent, need


class SmallDisk:
    """``path`` is the file system, seen from outside; ``inside`` runs a command that sees it at ``mount``."""

    def __init__(self, mount: Path, holder: subprocess.Popen[bytes]) -> None:
        self.mount = mount
        self.path = Path(f"/proc/{holder.pid}/root{mount}")
        self._holder = holder

    def inside(self, command: list[str]) -> list[str]:
        pid = str(self._holder.pid)
        return [need("nsenter"), "--target", pid, "--user", "--mount", "--preserve-credentials", *command]

    def fill(self, leave: int = 0) -> None:
        """Another writer takes all but ``leave`` bytes, rounded to pages."""
        with (self.path / "filler").open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 65536)
            except OSError:
                pass
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                pass
            os.ftruncate(filler.fileno(), max(filler.tell() - leave, 0))

    def free(self) -> None:
        (self.path / "filler").unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    mount = folder / "small"
    mount.mkdir(parents=True)
    script = f"mount -t tmpfs -o size={size} tmpfs '{mount}' && echo ready && exec sleep 600"
    holder = subprocess.Popen(
        [need("unshare"), "--map-root-user", "--mount", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
    )
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        if holder.stdout.readline() != b"ready\n":
            _not_here(holder.stderr.read().decode())
        yield SmallDisk(mount, holder)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


def _not_here(why: str) -> None:
    reason = f"no file system can be mounted in a namespace here: {why.strip()}"
    if os.environ.get("HINOMI_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


class SmallInflux(Influx):
    """InfluxDB whose data are on a small disk."""

    def __init__(self, folder: Path, disk: SmallDisk) -> None:
        super().__init__(folder)
        self.disk = disk

    def command(self) -> list[str]:
        command = super().command()
        path = self.folder / "influxdb.conf"
        text = path.read_text()
        for part in ("meta", "data", "wal"):
            text = text.replace(f'"{self.folder}/{part}"', f'"{self.disk.mount}/{part}"')
        path.write_text(text)
        return self.disk.inside(command)

    def start(self) -> None:
        super().start()
        time.sleep(0.05)  # nsenter has become influxd; its signal handlers are set
