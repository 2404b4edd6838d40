// Package rootfs sets up the root file system of a container with the semantics of the OCI runtime specification.
package rootfs
