"""The embedded store's own promises: what returned is on the disk; one failure leaves no other."""

import random
import signal
import subprocess
import sys
import time

import pytest
from support.observations import ramp, stream
from support.servers import die_with_parent

from cloud.store.sqlite import SqliteStore
from hinomi.errors import ConfigError
from sensing.observation import Datastream, Observation

T0 = 1_700_000_000_000

WRITER = """
import asyncio, sys
from pathlib import Path
from support.observations import ramp, stream
from cloud.store.sqlite import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]))
    for number in range(100000):
        await store.write(ramp(stream(f"s{number % 7}"), int(sys.argv[2]) + number * 100_000, 50, step=1000))
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(4))
async def test_every_batch_that_returned_survives_kill_9(tmp_path, seed):
    path = tmp_path / "store.db"
    rng = random.Random(seed)
    written = 0
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(T0 + written * 100_000)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "/usr/bin:/bin"},
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call, no lock can be held
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        written += 1 + len(process.stdout.read().splitlines())
        process.stdout.close()
        process.wait()
        store = await SqliteStore.open(path)
        count = await store.count("town")
        assert written * 50 <= count <= (written + 1) * 50
        assert count % 50 == 0, "half a batch"
        assert len(await store.latest("town")) == min(count // 50, 7)
        await store.close()
        written = count // 50


async def test_a_batch_that_fails_in_the_middle_leaves_nothing_behind_and_the_next_is_stored(tmp_path):
    """A name that is no text is a bug somewhere above; it must not leave an open transaction here."""
    store = await SqliteStore.open(tmp_path / "store.db")
    broken = Datastream("town", "bridge", None, "water_level")
    with pytest.raises(Exception, match="NOT NULL"):
        await store.write([*ramp(stream("new"), T0, 5), Observation(broken, T0, 1.0)])
    assert await store.count("town") == 0
    assert await store.write(ramp(stream("new"), T0, 7)) == []
    assert await store.count("town") == 7
    await store.close()


@pytest.mark.parametrize(
    ("content", "words"), [(b"this is no database" * 100, "cannot be opened"), (None, "does not exist; make it")]
)
async def test_a_file_that_cannot_be_a_store_is_a_fault_a_person_can_mend(tmp_path, content, words):
    path = tmp_path / "store.db"
    if content is None:
        path = tmp_path / "nowhere" / "store.db"
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        await SqliteStore.open(path)


async def test_reading_does_not_wait_for_writing(tmp_path):
    """The newest are answered while a long batch is being written."""
    import asyncio

    store = await SqliteStore.open(tmp_path / "store.db")
    await store.write(ramp(stream(), T0, 10))
    writing = asyncio.create_task(store.write(ramp(stream("big"), T0, 200_000, step=1)))
    answers = 0
    while not writing.done():
        assert len(await store.latest("town")) in {1, 2}
        answers += 1
    assert await writing == []
    assert answers > 3
    await store.close()


async def test_another_process_may_erase_what_this_one_goes_on_writing(tmp_path):
    """A datastream deleted elsewhere is made anew, not written to under a number that nobody knows any more."""
    store = await SqliteStore.open(tmp_path / "store.db")
    await store.write(ramp(stream(), T0, 10))
    other = await SqliteStore.open(tmp_path / "store.db")
    await other.erase("town")
    await other.write(ramp(stream("other"), T0, 3))
    await other.close()
    await store.write(ramp(stream(), T0, 4))
    assert await store.count("town") == 7
    assert [(row.datastream.station, row.value) for row in await store.latest("town")] == [
        ("bridge", 3.0),
        ("other", 2.0),
    ]
    await store.close()
