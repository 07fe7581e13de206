"""`safe dev`: everything real but Kubernetes, on this machine, for as long as it runs. See DESIGN.md."""
