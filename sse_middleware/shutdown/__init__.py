"""Each way in which a server says that it stops, while streams are open."""
