"""Application Auto Scaling: its API, and the loop that tracks targets."""
