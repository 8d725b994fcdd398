"""Grafana's dashboards as code: generated from the quantity table, committed, compared by the tests."""
