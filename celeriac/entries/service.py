"""An HTTP service under uvicorn: `python -m celeriac.entries.service MODULE:ATTRIBUTE OPTIONS`."""

from __future__ import annotations

import sys
from contextlib import suppress

from celeriac.engine.garbage import kept_for_good

if __name__ == "__main__":
    with kept_for_good():
        from uvicorn.importer import ImportFromStringError, import_from_string
        from uvicorn.main import main

        # It imports the app again, and says then why that cannot be.
        with suppress(ImportFromStringError):
            import_from_string(sys.argv[1])
    main()
