"""Any recorded CSV through real agents, its times moved onto the present."""
