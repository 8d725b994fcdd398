"""Hinomi: firmware_sim."""
