"""Services of docker-compose.yml as processes in namespaces, where no Docker engine runs.

What Docker would give each of them comes from the file: mounts at their paths (read-only where it says so), the
user, the environment, dropped capabilities, process number 1, one network in which the services' names lead to the
loopback address. What it would take from an image comes from this machine: the programs of the virtual environment
and of Debian. Without root there is only one user: ``chown`` then does nothing, and each program sees itself under
its number.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.servers import die_with_parent, need

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"

HINOMI, MOSQUITTO, INFLUXDB = 1884, 1883, 1000
# What the images say: the user that a container begins as or soon becomes, its program, folders that a new volume
# takes over.
_USERS = {"hinomi": HINOMI, "eclipse-mosquitto": MOSQUITTO, "influxdb": INFLUXDB}
_ENTRYPOINTS = {
    "hinomi": ["hinomi"],
    "eclipse-mosquitto": ["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
}
_FOLDERS = {("hinomi", "/var/lib/hinomi"): HINOMI, ("influxdb", "/var/lib/influxdb2"): INFLUXDB}

_PASSWD = f"""root:x:0:0::/root:/bin/sh
influxdb:x:{INFLUXDB}:{INFLUXDB}::/:/bin/false
mosquitto:x:{MOSQUITTO}:{MOSQUITTO}::/:/bin/false
hinomi:x:{HINOMI}:{HINOMI}::/var/lib/hinomi:/bin/false
"""
# A change of the user makes the kernel forget that a process dies with its parent.
_FOLLOW = ["setpriv", "--pdeathsig", "KILL"]
_LOOPBACK_UP = """import fcntl, socket, struct, time
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH14s", b"lo", 0x41, b""))
print("ready", flush=True)
time.sleep(600)
"""


def compose() -> dict[str, Any]:
    """The file, as PyYAML reads it."""
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return parsed


class Container:
    """One running service."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.log = log
        self.process = process

    @property
    def pid(self) -> int:
        """Its first process, as this machine numbers it; 0: not there (yet, or any more)."""
        return _first_child(self.process.pid)

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} goes on after {seconds} s:\n{self.text[-2000:]}") from None

    def processes(self) -> dict[int, str]:
        """All processes in it: number on this machine, command line."""
        space = Path(f"/proc/{self.pid}/ns/pid")
        wanted = space.readlink() if self.pid else None
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (path / "ns/pid").readlink() == wanted:
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found


class Engine:
    """Starts containers in one network; ``volumes`` are folders below ``folder``."""

    def __init__(self, folder: Path, network: int) -> None:
        self.services: dict[str, dict[str, Any]] = compose()["services"]
        self.volumes = folder / "volumes"
        self.running: dict[str, Container] = {}
        self._folder = folder
        self._network = network
        self.rootless = os.geteuid() != 0

    def start(
        self, service: str, *, command: Sequence[str] | None = None, instead: dict[str, Path] | None = None
    ) -> Container:
        """Start a service; ``command``: not its image's program; ``instead``: other files at some paths."""
        text = self._script(service, command or self._command(service), instead or {})
        script = self._folder / f"{service}.sh"
        script.write_text(text)
        log = self._folder / f"{service}.log"
        unshare = [need("unshare"), "--mount", "--pid", "--fork", "--kill-child=SIGKILL"]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self._enter(self._network, "--net"), *unshare, "sh", "-e", str(script)],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
            )
        self.running[service] = Container(service, process, log)
        return self.running[service]

    def execute(self, service: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """``docker exec``: in a running container, as its user."""
        container = self.running[service]
        enter = self._enter(container.pid, "--mount", "--pid", "--net", "--root", "--wd")
        inside = ["env", "-i", *self._environment(service), *self._become(service), *command]
        return subprocess.run([*enter, *inside], capture_output=True, text=True, timeout=30, check=False)

    def is_healthy(self, service: str) -> bool:
        """What the service's health check says now."""
        kind, *command = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.running[service].pid != 0 and self.execute(service, command).returncode == 0

    def ask(self, program: str) -> str:
        """The output of a Python program in the network."""
        command = [*self._enter(self._network, "--net"), sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout

    def volume(self, name: str) -> Path:
        """The folder of a named volume, made as Docker makes it."""
        path = self.volumes / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def mounts(self, service: str) -> list[tuple[Path, str, bool]]:
        """What is mounted: source on this machine, path inside, whether it is read-only."""
        found = []
        for text in self.services[service].get("volumes", []):
            source, target, *mode = text.split(":")
            path = ROOT / source if source.startswith(".") else self.volume(source)
            found.append((path, target, mode == ["ro"]))
        return found

    def kill_all(self) -> None:
        for container in self.running.values():
            if container.pid:
                container.signal(signal.SIGKILL)
            container.process.kill()
            container.process.wait(20)

    def _command(self, service: str) -> list[str]:
        settings = self.services[service]
        entrypoint = settings.get("entrypoint") or _ENTRYPOINTS[self._image(service)]
        return [*entrypoint, *settings.get("command", [])]

    def _image(self, service: str) -> str:
        return str(self.services[service]["image"]).partition(":")[0]

    def _script(self, service: str, command: Sequence[str], instead: dict[str, Path]) -> str:
        """Mounts an image of this machine and the volumes, then becomes the program."""
        image = self._folder / "images" / service
        image.mkdir(parents=True, exist_ok=True)
        lines = [f"image={shlex.quote(str(image))}", *_image_lines()]
        image_name = self._image(service)
        for source, target, read_only in self.mounts(service):
            owner = _FOLDERS.get((image_name, target))
            if owner is not None and not any(source.iterdir()) and not self.rootless:
                os.chown(source, owner, owner)
            lines += _mount_lines(source, target, read_only=read_only)
        for target, source in instead.items():
            lines += _mount_lines(source, target, read_only=True)
        program = [*self._environment(service), *self._become(service), *command]
        # Not chroot: below one, no user namespace may be made.
        lines += ['cd "$image"', "pivot_root . tmp", "umount -l tmp", f"exec env -i {shlex.join(program)}"]
        return "\n".join(lines) + "\n"

    def _environment(self, service: str) -> list[str]:
        here = Path(sys.executable).parent
        path = f"{here}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        values = {
            "PATH": f"/one-user:{path}" if self.rootless else path,
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **self.services[service].get("environment", {}),
        }
        return [f"{key}={value}" for key, value in values.items()]

    def _become(self, service: str) -> list[str]:
        settings = self.services[service]
        user = 0 if settings.get("user") == "root" else _USERS[self._image(service)]
        if self.rootless:
            # A user namespace in the user namespace: mosquitto must not believe that it is root.
            return ["unshare", "--user", f"--map-user={user}", f"--map-group={user}", *_FOLLOW]
        become = [*_FOLLOW, f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        if settings.get("cap_drop") == ["ALL"]:
            become += ["--bounding-set=-all", "--inh-caps=-all"]
        if "no-new-privileges:true" in settings.get("security_opt", []):
            become.append("--no-new-privs")
        return become

    def _enter(self, pid: int, *spaces: str) -> list[str]:
        # A container without root has a user namespace of its own inside of ours, where nothing could be mounted.
        user = [f"--user=/proc/{self._network}/ns/user", "--preserve-credentials"] if self.rootless else []
        return [need("nsenter"), "--target", str(pid), *user, *spaces]


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """A network of its own; at the end nothing of it is left."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    holder = subprocess.Popen(
        [need("unshare"), *user, "--net", sys.executable, "-c", _LOOPBACK_UP],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
    )
    assert holder.stdout is not None
    assert holder.stderr is not None
    made = Engine(folder, holder.pid)
    try:
        if holder.stdout.readline() != b"ready\n":
            _not_here(holder.stderr.read().decode())
        yield made
    finally:
        made.kill_all()
        holder.kill()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


def until(condition: Any, seconds: float, what: str, engine: Engine) -> None:
    """Wait for ``condition()``; when it does not come true, say what the containers said."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            logs = "\n".join(f"--- {one.name}\n{one.text[-1500:]}" for one in engine.running.values())
            raise AssertionError(f"{what}: not within {seconds} s\n{logs}")
        time.sleep(0.1)


def _image_lines() -> list[str]:
    """A root of our own with this machine's programs, an empty /var, and an /etc of a few files."""
    lines = ['mount -t tmpfs -o mode=755 image "$image"']
    for path in map(Path, ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr")):
        if path.is_symlink():
            lines.append(f'ln -s {path.readlink()} "$image{path}"')
        elif path.exists():
            lines += _mount_lines(path, str(path), read_only=False)
    lines += _mount_lines(ROOT, str(ROOT), read_only=False)
    for path in {Path(sys.prefix), Path(sys.base_prefix)}:
        if not path.is_relative_to("/usr") and not path.is_relative_to(ROOT):
            lines += _mount_lines(path, str(path), read_only=False)
    lines += [
        'mkdir -p "$image/etc" "$image/proc" "$image/dev" "$image/tmp" "$image/run" "$image/one-user"',
        'chmod 1777 "$image/tmp"',
        'mount -t proc proc "$image/proc"',
        'mount --rbind /dev "$image/dev"',
        'for file in ld.so.cache localtime nsswitch.conf; do cp "/etc/$file" "$image/etc/" || true; done',
        f'echo {shlex.quote(_PASSWD)} >"$image/etc/passwd"',
        'echo "127.0.0.1 localhost mosquitto influxdb cloud" >"$image/etc/hosts"',
        'echo \'exit 0\' >"$image/one-user/chown"; chmod 755 "$image/one-user/chown"',
    ]
    return lines


def _mount_lines(source: Path, target: str, *, read_only: bool) -> list[str]:
    inside = f'"$image"{shlex.quote(target)}'
    parent = f'"$image"{shlex.quote(str(Path(target).parent))}'
    make = f"mkdir -p {inside}" if source.is_dir() else f"mkdir -p {parent}; touch {inside}"
    lines = [f"[ -e {inside} ] || {{ {make}; }}", f"mount --bind {shlex.quote(str(source))} {inside}"]
    if read_only:
        lines.append(f"mount -o remount,bind,ro {inside}")
    return lines


def _first_child(pid: int) -> int:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0


def _not_here(why: str) -> None:
    reason = f"no network can be made in a namespace here: {why.strip()[-300:]}"
    if os.environ.get("HINOMI_REQUIRE_SERVERS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
