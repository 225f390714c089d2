"""Why a local service is not there."""


class ServiceFailed(RuntimeError):
    """A service that did not start; the message holds the end of its log."""


class MissingProgram(ServiceFailed):
    """A program this machine lacks; the message names it and the way out."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is missing. Install it, or run the services by `docker compose up`.")
