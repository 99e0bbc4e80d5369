"""For operators: logs, health, metrics, dead letters."""
