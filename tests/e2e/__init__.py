"""Real servers over real sockets, each in a process of its own."""
