"""What can be wrong with a message."""


class BadMessage(ValueError):
    """What was read cannot be a message of its topic; `reason` is a short code, `str()` the whole story."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
