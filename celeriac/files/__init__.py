"""Files that tasks take and give back: kept beside the ledger, in a folder or wherever else.

A row holds only a reference. The room knows nothing of tasks: who holds on to a file is the
ledger's to say.
"""
