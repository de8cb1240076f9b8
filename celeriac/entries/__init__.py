"""What an installed Celeriac starts: the Celery app and the HTTP service of a team's own tasks.

`CELERIAC_APP` names the tasks. These compose and nothing else, as `celery_app.py` and `main.py` do
in a checkout.
"""
