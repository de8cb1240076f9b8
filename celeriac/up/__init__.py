"""One machine, one command: the embedded broker and the child processes."""
