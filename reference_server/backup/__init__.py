"""Backup and restore of a data folder: one tar file, checksums of everything at its end.

    header.json          {"format": 1, "version": "3.0.0", "revision": "0007", "made_at": "…Z"}
    data/server.sqlite3  the database, as of one moment
    data/…               every other file of the data folder
    manifest.json        {"files": {"data/…": {"size": 123, "sha256": "…"}}}
"""
