"""All streams of an application: how many there may be, how they are counted, how they all end."""
