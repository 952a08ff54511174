"""Training and its evaluation."""
