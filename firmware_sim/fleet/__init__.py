"""Many light stations in one process: each a real MQTT 5 client, none a real agent."""
