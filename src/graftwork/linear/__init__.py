"""Linear classifiers on codes: arrays in, arrays out."""
