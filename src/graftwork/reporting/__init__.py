"""The report: a run's record as one page for a person who decides whether to trust and ship it."""
