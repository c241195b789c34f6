"""Why a request, or an image in it, is not answered with a prediction."""

from __future__ import annotations


class Refusal(Exception):
    """A request or an image that gets no prediction, through no defect of the service.

    Parameters
    ----------
    status
        Of HTTP: 4xx where the sender can change something, 503 where it can wait.
    reason
        One line: what must hold, what was found, what to do next.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
