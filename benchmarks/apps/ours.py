"""The same task on Celeriac, with its default settings."""

from celeriac import create_celery

app = create_celery()


@app.task(name="noop")
def noop(number: int) -> int:
    """Give back what came in."""
    return number
