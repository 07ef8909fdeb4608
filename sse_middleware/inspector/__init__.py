"""The inspector: a page that shows what the streams of an application do."""
