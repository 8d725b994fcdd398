"""The wires: what a Linux driver finds in /dev and /sys, played by one process in one folder."""
