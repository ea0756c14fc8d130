"""Not losing anything for good: backups, putting them back, another key for what is encrypted."""
