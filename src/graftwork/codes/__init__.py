"""CNN codes: computed once, kept by content."""
