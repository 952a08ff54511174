"""Processes that stand in for containers, and their logs."""
