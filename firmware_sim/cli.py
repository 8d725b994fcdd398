"""``hinomi sim``: a table of names to ``module:function``, imported only when called."""

import importlib
import sys
from collections.abc import Callable, Sequence

COMMANDS = {
    "buses": ("firmware_sim.buses_cli:main", "the buses and devices of one station, from a scenario"),
    "fleet": ("firmware_sim.fleet.cli:main", "many light stations in one process"),
    "replay": ("firmware_sim.replay.cli:main", "a recorded CSV through a real agent"),
}

EXIT_CONFIG = 2


def main(argv: Sequence[str]) -> int:
    """Run one subcommand; returns its exit status (2: a person has something to fix)."""
    args = list(argv)
    if not args or args[0] in {"-h", "--help"}:
        print(_usage())
        return 0 if args else EXIT_CONFIG
    name = args[0]
    if name not in COMMANDS:
        print(f"hinomi sim: no command {name!r}\n\n{_usage()}", file=sys.stderr)
        return EXIT_CONFIG
    module_name, _, function = COMMANDS[name][0].partition(":")
    command: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module_name), function)
    return command(args[1:])


def _usage() -> str:
    rows = "\n".join(f"  {name:<7} {text}" for name, (_, text) in COMMANDS.items())
    return f"usage: hinomi sim COMMAND …\n\n{rows}\n\nhinomi sim COMMAND --help tells more."
