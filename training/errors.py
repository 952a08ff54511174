"""What a user can put right."""


class TrainingError(Exception):
    """The user's data, arguments or machine do not allow this; the message says in one line what to do."""
