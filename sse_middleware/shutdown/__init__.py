"""How an application learns that its server has been told to stop, while streams are open."""
