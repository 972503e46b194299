"""The review page: what the last run's screenshots came to, for people; as files, and served with buttons to approve."""

from testkit.screenshots.review.page import PAGE, write_page, write_page_at_exit

__all__ = ["PAGE", "write_page", "write_page_at_exit"]
