"""Celery at its own seams: the only room that knows Celery and kombu."""
