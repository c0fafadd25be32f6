"""Pictures of a study: records and results in, matplotlib figures out. Readable in grey."""
