"""The selective flush: after a ``TransactionTestCase``, only what was written is emptied.

Django empties every table and has ``post_migrate`` write content types and permissions anew. The outcome here is the
same. Which tables have rows is asked of the database; the rows that ``post_migrate`` writes stay if nobody has changed
them. Whenever something is not known for certain, Django's own flush does it.
"""

from testkit.databases.flush.blocked import FlushBlocked as FlushBlocked
from testkit.databases.flush.teardown import selective as selective
