"""Virtual time: when everything waits, the clock jumps to the next timer."""
