"""What the simulated world does: recordings and synthetic signals, as functions of virtual time."""
