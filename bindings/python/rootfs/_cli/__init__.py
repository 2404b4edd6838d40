"""What ``python -m rootfs`` does."""
