"""A sink that sends records as syslog messages."""
