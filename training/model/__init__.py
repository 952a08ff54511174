"""The network: architecture, weights, export."""
