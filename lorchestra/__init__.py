"""lorchestra: run the jobs of a pipeline's stages in parallel, and keep a record of every one."""

__version__ = "0.1.0"
