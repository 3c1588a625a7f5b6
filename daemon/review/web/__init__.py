"""The queue as a page, for people in front of a browser; only `review --web` imports it."""
