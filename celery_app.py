"""The Celery app of this checkout: `celery -A celery_app worker`, `celery -A celery_app flower`.

Add your own tasks below, or write them into a `tasks.py` beside this file (`celeriac init` does).
"""

import sys
from pathlib import Path

from celeriac import create_celery
from celeriac.errors import SettingsError
from celeriac.samples import MODULES

OWN = ["tasks"] if Path(__file__).with_name("tasks.py").exists() else []

try:
    app = create_celery(include=[*MODULES, *OWN])
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
