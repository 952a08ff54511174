"""What a user can get wrong about costs."""


class CostError(Exception):
    """An assembly, a price or an assumption that cannot be used; the message is one line that says what to do."""
