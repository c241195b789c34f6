"""The ``graft`` command."""
