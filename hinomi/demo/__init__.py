"""The whole flow on one machine: starts the real processes, shows their counters, counts honestly at the end."""
