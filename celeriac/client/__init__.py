"""A service called from Python, from anywhere: needs no task code, no broker and no database.

The only room that knows httpx. It stands on the core and the errors alone.
"""

from celeriac.client.client import Client as Client
from celeriac.client.handle import Handle as Handle
from celeriac.client.remote_task import RemoteTask as RemoteTask
from celeriac.client.remote_task import TaskPage as TaskPage
