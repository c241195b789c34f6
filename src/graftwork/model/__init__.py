"""A fitted classifier as a folder that works anywhere, and its use."""
