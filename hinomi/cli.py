"""The one command: a table of names to ``module:function``, imported only when called.

A Pi installs no cloud dependency, so nothing here imports a subcommand before it is asked for.
"""

import importlib
import sys
from collections.abc import Callable, Sequence

from hinomi.errors import ConfigError

COMMANDS = {
    "edge": ("edge.cli:main", "the agent on a Raspberry Pi: run, check, status, maintenance"),
    "cloud": ("cloud.cli.main:main", "the cloud service: run, quarantine"),
    "station": ("cloud.cli.station:main", "stations: add, list, remove"),
    "sim": ("firmware_sim.cli:main", "simulated hardware: buses, fleet, replay"),
    "doctor": ("hinomi.doctor.cli:main", "check a configuration, its servers and the clock"),
    "demo": ("hinomi.demo.cli:main", "the whole flow on this machine, from recorded readings"),
}

EXIT_CONFIG = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns its exit status (2: a person has something to fix)."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in {"-h", "--help"}:
        print(_usage())
        return 0 if args else EXIT_CONFIG
    name = args[0]
    if name not in COMMANDS:
        print(f"hinomi: no command {name!r}\n\n{_usage()}", file=sys.stderr)
        return EXIT_CONFIG
    try:
        return _load(name)(args[1:])
    except ConfigError as error:
        for fault in error.faults:
            print(f"hinomi {name}: {fault}", file=sys.stderr)
        return EXIT_CONFIG


def _load(name: str) -> Callable[[Sequence[str]], int]:
    target = COMMANDS[name][0]
    module_name, _, function = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        extra = module_name.split(".")[0]
        raise ConfigError.of(
            name, f"needs the package {missing!r}; install Hinomi with its extra: pip install 'hinomi[{extra}]'"
        ) from error
    command: Callable[[Sequence[str]], int] = getattr(module, function)
    return command


def _usage() -> str:
    rows = "\n".join(f"  {name:<9} {text}" for name, (_, text) in COMMANDS.items())
    return f"usage: hinomi COMMAND …\n\n{rows}\n\nhinomi COMMAND --help tells more."
