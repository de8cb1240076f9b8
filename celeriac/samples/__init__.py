"""The sample tasks that every checkout starts with."""
