"""The Celery app of this checkout: `celery -A celery_app worker`, `celery -A celery_app flower`.

Add your own tasks below, or write them into a `tasks.py` beside this file (`celeriac init` does).
"""

import sys
from pathlib import Path

from celeriac import Settings, create_celery
from celeriac.errors import SettingsError
from celeriac.samples import modules_for

HERE = Path(__file__).resolve().parent
# The command `celery` takes this folder away again once it has found this file, and your own
# modules may import one another later. At the end: the first one is what it takes away.
sys.path.append(str(HERE))
OWN = ["tasks"] if (HERE / "tasks.py").exists() else []

try:
    app = create_celery(include=[*modules_for(Settings.from_environment()), *OWN])
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(2) from None
