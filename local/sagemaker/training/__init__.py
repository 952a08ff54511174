"""Training jobs, run under AWS's own training toolkit."""
