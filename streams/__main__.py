"""`python -m streams` is `headrace`."""

from streams.main import app

if __name__ == "__main__":
    app()
