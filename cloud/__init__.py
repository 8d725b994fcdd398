"""One place where the readings of many stations are put together."""
