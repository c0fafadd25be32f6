"""Pictures of a study: records and answers in, matplotlib figures out. Readable in grey."""
