"""A fitted classifier leaves the house: as a file for other runtimes, complete and proven equal.

Read ``export`` first.
"""
