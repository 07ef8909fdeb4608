"""Makes a pushed endpoint of a polled one."""
