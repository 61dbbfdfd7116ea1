"""What models learn from: which frames, of which molecules, at which levels."""
