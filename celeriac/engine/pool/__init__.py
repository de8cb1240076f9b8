"""How a worker runs tasks: one core that claims and completes, one runner for each pool."""
