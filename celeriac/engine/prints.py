"""What a task prints, logged with the task's name.

Celery puts what is printed in a worker into its log, and does not say who printed it.
"""

from __future__ import annotations

import logging

from celery._state import get_current_task
from celery.utils.log import get_logger

# Celery's name for where it puts what is printed (celery 5.7, app/log.py).
_LOGGER = "celery.redirected"


def install() -> None:
    """Have it so in this process."""
    get_logger(_LOGGER).addFilter(_name_task)


def _name_task(record: logging.LogRecord) -> bool:
    task = get_current_task()
    if task is not None and task.request.id:
        # As a task's own logger has it.
        record.msg = f"{task.name}[{task.request.id}]: {record.getMessage()}"
        record.args = ()
    return True
