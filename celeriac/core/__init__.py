"""What a task is: its states, its values, its rules. No I/O and no third-party library."""
