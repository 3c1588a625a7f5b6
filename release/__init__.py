"""Makes what is handed on: wheel, offline bundle, Debian package, man pages. Part of the sources, not of the package."""
