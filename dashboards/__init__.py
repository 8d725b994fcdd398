"""Hinomi: dashboards."""
