"""How serving says no: to a request, to an artifact, and to a setting."""


class RequestError(Exception):
    """A request that is not answered, as an RFC 9457 problem.

    Parameters
    ----------
    status
        HTTP status: 4xx for the caller's fault, 503 if there is no room or no time for the request.
    title
        What kind of problem it is; the same for every case of it.
    detail
        What is wrong with this request, and what to do.
    """

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail


class ArtifactError(Exception):
    """The artifact cannot serve; the message says in one line what is wrong with it."""


class SettingError(Exception):
    """An environment variable has a value that means nothing."""
