"""What each kind of database can do about templates and clones; :mod:`testkit.databases.backends.base` says what."""
