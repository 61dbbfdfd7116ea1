"""Training sets: frames, molecules and levels that a model learns from."""
