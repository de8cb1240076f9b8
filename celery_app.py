"""The Celery app of this checkout: `celery -A celery_app worker`, `celery -A celery_app flower`.

Add your own tasks below; worker and API know them at their next start.
"""

import sys

from celeriac import create_celery
from celeriac.errors import SettingsError

try:
    app = create_celery(
        include=["celeriac.samples.text", "celeriac.samples.numbers", "celeriac.samples.flaky"]
    )
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
