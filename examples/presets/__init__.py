"""One server for each preset. Each is as small as its clients allow."""
