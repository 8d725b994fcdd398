"""The wires: I2C, UART, Modbus RTU and GPIO, each behind a few blocking (or, for GPIO, awaited) calls.

A driver names a path. Where that path is a unix socket instead of a device file, the same driver talks to simulated
hardware: the seam is the transfer, so register maps, frames and checksums are the driver's own in both cases.
"""
