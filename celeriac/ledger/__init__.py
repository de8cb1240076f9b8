"""Where tasks are kept: the only room that knows SQLAlchemy."""
