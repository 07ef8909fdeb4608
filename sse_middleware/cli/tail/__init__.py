"""The command ``tail``: follows an event stream in the terminal.

`follow` is its core: the states of a client, without I/O. `session` is the network, with httpx.
`reading` turns bytes into what is printed, and `terminal` and `descriptor` print it.
"""
