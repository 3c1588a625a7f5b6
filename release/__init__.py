"""Makes what is handed on: wheel, offline bundle, Debian package, man pages. It stays in the sources."""
