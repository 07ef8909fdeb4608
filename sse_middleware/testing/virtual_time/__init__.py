"""Virtual time for tests: when everything waits, the clock jumps to the next timer."""
