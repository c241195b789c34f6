"""A run's record as one page that needs no data, no torch and no network."""
