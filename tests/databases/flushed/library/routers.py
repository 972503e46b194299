class Router:
    """Keeps sites, sessions and log entries out of the database "other"."""

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return False if db == "other" and app_label in {"sites", "sessions", "admin"} else None
