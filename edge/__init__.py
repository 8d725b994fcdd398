"""Hinomi: edge."""
