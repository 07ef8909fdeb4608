"""Hours of a server, in minutes: nothing may be left behind."""
