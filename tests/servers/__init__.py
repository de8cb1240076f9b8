"""Real servers and workers as child processes that die with the tests, on free loopback ports."""
