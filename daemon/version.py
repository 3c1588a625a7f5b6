"""The version: of the package, which takes it from here, and of every line of the output."""

VERSION = "0.2.0"
