"""What a user can get wrong before anything is deployed."""


class ConfigurationError(Exception):
    """A setting or an artifact that cannot be deployed; the message is one line that says what to do."""
