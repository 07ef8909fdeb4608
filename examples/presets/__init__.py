"""A server for each preset, each as small as its clients allow."""
