"""What ends a command."""


class OperateError(Exception):
    """An environment that cannot be operated as asked; the message is one line that says what to do."""
