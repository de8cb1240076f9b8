"""The HTTP API: each route reads, asks the service once, and shapes the answer."""
