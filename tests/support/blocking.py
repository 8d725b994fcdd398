"""A detector for calls that block the event loop."""

from contextlib import AbstractContextManager

from blockbuster import BlockBuster, blockbuster_ctx


def no_blocking_calls() -> AbstractContextManager[BlockBuster]:
    """Within it a call of ours in the loop that waits for a file, a socket, a lock or a sleep raises BlockingError.

    For a whole process that is up: while it starts nobody has to wait for it.
    """
    return blockbuster_ctx(["cloud", "edge", "firmware_sim", "hinomi", "sensing"])
