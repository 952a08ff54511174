"""What several stacks agree on: names, and what every stack has."""
