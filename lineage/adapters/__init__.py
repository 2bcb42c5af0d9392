"""Stores and keys on real disks: the only place in lineage that names a database driver."""
