"""The Celery app of this checkout: `celery -A celery_app worker`, `celery -A celery_app flower`.

Add your own tasks below; worker and API know them at their next start.
"""

from celeriac import create_celery

app = create_celery(
    include=["celeriac.samples.text", "celeriac.samples.numbers", "celeriac.samples.flaky"]
)
