"""Run as a program: a journal's process is killed with SIGKILL again and again; says as JSON what came of it.

After each call that returned, the child appends its number to the oracle and syncs it. The parent repeats that many
calls on the plain model: the journal must stand exactly there, or one whole call further.
"""

import contextlib
import copy
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from support.journals import CAP, ModelJournal, call_of_story, open_sqlite, tell

from hinomi.errors import Transient
from hinomi.journal.protocol import Journal


def call(rng: random.Random, model: Journal, *others: Journal) -> None:
    """The next call of the story on the model and the others; a full journal refuses it, then it is emptied."""
    step = call_of_story(rng, model.stats())
    for journal in (model, *others):
        try:
            step(journal)
        except Transient:
            journal.remove(journal.stats().next_seq)


def child(path: Path, model: ModelJournal, rng: random.Random, oracle: int) -> None:
    """Work until killed."""
    journal = open_sqlite(path, cap_bytes=CAP)
    for number in range(1_000_000):
        call(rng, model, journal)
        os.write(oracle, b"%d\n" % (number + 1))
        os.fsync(oracle)


def killed_run(path: Path, model: ModelJournal, seed: int) -> int:
    """Start a child, kill it at some moment; returns how many calls are known to have returned."""
    rng = random.Random(seed)
    after = rng.uniform(0.0, 0.03)
    oracle = os.open(path.with_name("oracle"), os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            child(path, model, rng, oracle)
        os._exit(1)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    lines = os.pread(oracle, 1 << 20, 0).split()
    os.close(oracle)
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"seed {seed}: the child ended by itself after {len(lines)} calls")
    return len(lines)


def main(path: Path, seed: int, kills: int) -> dict[str, int]:
    model = ModelJournal(CAP)
    first = open_sqlite(path, cap_bytes=CAP)
    for name in ("store", "judge"):
        model.cursor(name)
        first.cursor(name)
    first.close()
    calls = further = 0
    for number in range(kills):
        done = killed_run(path, copy.deepcopy(model), seed + number)
        rng = random.Random(seed + number)
        rng.uniform(0.0, 0.03)
        for _ in range(done):
            call(rng, model)
        one_more = copy.deepcopy(model)
        call(rng, one_more)
        journal = open_sqlite(path, cap_bytes=CAP)
        found = tell(journal)
        if journal.recovery is not None or found not in (tell(model), tell(one_more)):
            raise SystemExit(f"seed {seed + number}, after {done} calls: {journal.recovery}, {journal.stats()}")
        if found != tell(model):
            further += 1
            model = one_more
        journal.close()
        calls += done
    return {"kills": kills, "calls": calls, "one_further": further}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
