"""Server: the HTTP door. It turns exchanges into calls of the pipeline, and nothing else."""
