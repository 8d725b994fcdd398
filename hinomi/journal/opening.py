"""How a journal is opened: whatever is found there, it is up afterwards, or says what a person has to do."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace

from hinomi.errors import ConfigError
from hinomi.journal import aside, schema
from hinomi.journal.build import Builder
from hinomi.journal.diagnosis import diagnose
from hinomi.journal.faults import Damaged, Full, translated
from hinomi.journal.headroom import Headroom
from hinomi.journal.memory import Memory, State, save_state
from hinomi.journal.protocol import Recovery
from hinomi.journal.renewal import renew
from hinomi.journal.salvage import rescue
from hinomi.journal.sidecar import Mark, Sidecar

# SQLite takes 512 bytes, its own endings included.
_LONGEST_PATH = 480


class Opened(NamedTuple):
    """An open file with its counters, and what was found."""

    connection: sqlite3.Connection
    memory: Memory
    recovery: Recovery | None


def check_place(path: Path) -> None:
    """See that a journal can be there at all.

    Raises:
        ConfigError: no folder, no permission, or something else has the name.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ConfigError.of(
            str(path), f"the folder {folder} is not there: make it (mkdir -p {folder}) or correct the path"
        )
    if len(os.fsencode(path.absolute())) > _LONGEST_PATH:
        raise ConfigError.of(str(path), f"is longer than {_LONGEST_PATH} bytes: give the journal a shorter path")
    if path.exists() and not path.is_file():
        raise ConfigError.of(str(path), "is not a file: give the journal a path of its own")
    for place in (folder, path):
        if place.exists() and not os.access(place, os.R_OK | os.W_OK):
            raise ConfigError.of(
                str(path),
                f"{place} cannot be written: give it to the user this runs as (chown), "
                f"and see that its disk is mounted for writing",
            )


def open_files(
    path: Path, sidecar: Sidecar, headroom: Headroom, new_stream: Callable[[], str], machine: str
) -> Opened:
    """Open the journal, making, salvaging or renewing it as needed.

    Raises:
        ConfigError: another program's database, or a newer version's.
        Transient: the disk is full or failing.
    """
    for _ in range(2):
        # Each step of opening may be repeated.
        try:
            return _open(path, sidecar.mark, headroom, new_stream, machine)
        except Full:
            # Even opening needs some room.
            headroom.release()
        except Damaged as damage:
            # Found only when something was to be changed in a file too large to be read whole.
            sidecar.suspect(str(damage))
    return _open(path, sidecar.mark, headroom, new_stream, machine)


def _open(path: Path, mark: Mark | None, headroom: Headroom, new_stream: Callable[[], str], machine: str) -> Opened:
    with translated(str(path)):
        aside.partial(path).unlink(missing_ok=True)
        if aside.salvaged(path).exists():
            aside.swap(path)
            mark = None
        if not path.exists() and not schema.wal_of(path).exists():
            _make(path, mark, State(stream=new_stream(), machine=machine, reason="made"))
            mark = None
        elif why := diagnose(path, mark):
            begin = State(stream=new_stream(), machine=machine, reason=f"salvaged: {why}")
            rescue(path, why, mark, begin, headroom)
            mark = None
        connection = schema.connect(path)
    try:
        with translated(str(path)):
            memory = Memory(connection)
            _begin(connection, memory, mark, new_stream, machine)
    except BaseException:
        connection.close()
        raise
    recovery = memory.state.recovery
    if recovery and recovery.kind == "damaged":
        recovery = replace(recovery, set_aside=aside.latest(path))
    return Opened(connection, memory, recovery)


def _make(path: Path, mark: Mark | None, begin: State) -> None:
    if mark is not None and mark.next_row - 1 - mark.shift != mark.gone:
        recovery = Recovery(
            kind="damaged",
            reason="the file is gone",
            old_stream=mark.stream,
            kept_records=0,
            kept_readings=0,
            kept_refusals=0,
            lost_records=mark.next_row - 1 - mark.shift - mark.gone,
            lost_readings=mark.total - mark.start - mark.dropped - mark.removed,
            lost_refusals=mark.quarantined,
        )
        begin = replace(begin, recovery=recovery)
    with Builder(aside.partial(path)) as builder:
        builder.finish(path, begin, {}, {})


def _begin(
    connection: sqlite3.Connection, memory: Memory, mark: Mark | None, new_stream: Callable[[], str], machine: str
) -> None:
    """Renew the stream of a file that is sound but not the one this machine left; remember the machine."""
    old = memory.state
    found = None
    if mark is not None and mark.ahead_of(memory):
        found = _found("rolled_back", "it is an older copy, or its last commits are missing", old, mark)
    elif machine and old.machine and machine != old.machine:
        found = _found("cloned", f"it was last opened on another machine ({old.machine}), now on {machine}", old)
    if not found and (not machine or machine == old.machine):
        return
    connection.execute("BEGIN IMMEDIATE")
    if found:
        renew(connection, memory, new_stream(), f"{found.kind}: {found.reason}")
    memory.state = replace(memory.state, machine=machine or old.machine, recovery=found or old.recovery)
    save_state(connection, memory.state)
    connection.execute("COMMIT")


def _found(kind: Literal["rolled_back", "cloned"], reason: str, state: State, mark: Mark | None = None) -> Recovery:
    return Recovery(
        kind=kind,
        reason=reason,
        old_stream=state.stream,
        kept_records=state.records,
        kept_readings=state.pending,
        kept_refusals=state.quarantined,
        lost_records=max(mark.next_row - state.next_row, 0) if mark else 0,
        lost_readings=max(mark.total - state.total, 0) if mark else 0,
        exact=mark is None,
    )
