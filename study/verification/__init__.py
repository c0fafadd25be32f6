"""What `study.verify` checks, one file per thing that is checked."""
