"""An exception of the users' own, in a module that worker and client both import."""


class TroubleError(Exception):
    """Something that a task of ours raises."""
