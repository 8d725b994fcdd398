"""A durable log of opaque bytes with named cursors: the station's buffer and the cloud's arrival log."""

from hinomi.journal.protocol import Entry, Journal, Record, Recovery, Refusal, Stats

__all__ = ["Entry", "Journal", "Record", "Recovery", "Refusal", "Stats"]
