"""The function that answers predictions, and its HTTP API."""
