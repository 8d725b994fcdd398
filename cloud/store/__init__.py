"""Where observations are kept: one protocol, SQLite and InfluxDB behind it, and the writer in front."""
