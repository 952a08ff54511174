"""What the synthesised stacks will cost, before anything is deployed (``python -m cost``)."""
