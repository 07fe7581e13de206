"""What runs raftsafe: the `safe` command, manifests, images, injector and controller."""
