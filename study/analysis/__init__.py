"""What a study's trials say: pure functions of records and a space; no files, no screen."""
