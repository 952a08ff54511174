"""What the synthesised stacks will cost, before anything is deployed (``./kennel cost``)."""
