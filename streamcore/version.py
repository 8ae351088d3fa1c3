"""The version of this distribution; a test compares it with the package metadata."""

VERSION = "0.1.0"
