"""Side-by-side measurements: ours against what a user would have instead."""
