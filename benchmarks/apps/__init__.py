"""The apps of the contenders: one no-op task each."""
