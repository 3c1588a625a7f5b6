"""What keeps everything on the host: tracing is switched off, and what could send is not even imported."""
