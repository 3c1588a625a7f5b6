"""The directory source: finds reports in watched directories, and reads them as they come."""
