"""The process behind it all: the gateway, its start and stop, and its state."""
