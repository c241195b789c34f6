"""Image files and tables: found, read, looked at, judged."""
