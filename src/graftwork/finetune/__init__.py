"""Backpropagation continued through some or all layers: cuts, sources of batches, rates, one loop."""
