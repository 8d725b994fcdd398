"""What every Hinomi process stands on: errors, configuration, clock, journal, disk, command line."""

__version__ = "0.1.0"
