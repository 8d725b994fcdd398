"""From the broker to the arrival journal, and from there to whoever reads it."""
