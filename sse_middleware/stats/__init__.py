"""Shows operators what the streams of an application are doing."""
